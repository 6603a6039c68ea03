with

batch_events as (

    select
        _archive_path as archive_path,
        event,
        symbols,
        oldest_date
    from {{ source('raw', 'batch_events') }}

),

unmerged_batches as (

    select
        archive_path,
        any_value(symbols) as symbols,
        min(oldest_date) as oldest_date
    from batch_events
    group by archive_path
    having countif(event = 'merged') = 0

),

oldest as (

    select
        count(*) as batch_count,
        coalesce(min(oldest_date), current_date('Asia/Kolkata')) as trade_date
    from unmerged_batches

),

primary_source as (

    select source_id from {{ ref('source_precedence') }}
    group by source_id
    qualify row_number() over (order by min(precedence)) = 1

),

-- Taken from the notes of the batches, and not from the bars, so that no history is read.
received_symbols as (

    select
        symbol,
        logical_or(
            starts_with(unmerged_batches.archive_path, concat(primary_source.source_id, '_'))
        ) as is_from_primary
    from unmerged_batches
    cross join primary_source
    cross join unnest(split(unmerged_batches.symbols, ',')) as symbol
    group by symbol

),

scales as (

    select
        symbol,
        bar_count,
        primary_bar_count,
        is_compared,
        month
    from {{ ref('int_source_scales__judged') }}

),

scales_by_symbol as (

    select
        scales.symbol,
        logical_or(scales.primary_bar_count > 0) as has_primary,
        logical_or(
            scales.is_compared and scales.month < date_trunc(oldest.trade_date, month)
        ) as is_compared_before,
        min(if(scales.bar_count > 0, scales.month, null)) as first_month
    from scales
    cross join oldest
    group by scales.symbol

),

-- Where the sources of a symbol may be compared for the first time, that judges its whole past.
rejudged as (

    select min(scales_by_symbol.first_month) as first_month
    from scales_by_symbol
    inner join received_symbols
        on scales_by_symbol.symbol = received_symbols.symbol
    where
        (scales_by_symbol.has_primary or received_symbols.is_from_primary)
        and not scales_by_symbol.is_compared_before

),

bounded as (

    select
        oldest.batch_count as unmerged_batch_count,
        date_trunc(
            least(oldest.trade_date, coalesce(rejudged.first_month, oldest.trade_date)), month
        ) as window_start
    from oldest
    cross join rejudged

)

select * from bounded
