with

batch_events as (

    select
        _archive_path as archive_path,
        event,
        symbols,
        oldest_date
    from {{ source('raw', 'batch_events') }}

),

merged_batches as (

    select archive_path from batch_events
    where event = 'merged'
    group by archive_path

),

unmerged_batches as (

    select
        batch_events.archive_path,
        batch_events.symbols,
        batch_events.oldest_date
    from batch_events
    left join merged_batches
        on batch_events.archive_path = merged_batches.archive_path
    where merged_batches.archive_path is null

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
        ) as is_from_primary,
        min(unmerged_batches.oldest_date) as oldest_date
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
            scales.is_compared and scales.month < date_trunc(received_symbols.oldest_date, month)
        ) as is_compared_before,
        min(if(scales.bar_count > 0, scales.month, null)) as first_month
    from scales
    inner join received_symbols
        on scales.symbol = received_symbols.symbol
    group by scales.symbol

),

-- Where the sources of a symbol may be compared for the first time, that judges its whole past.
symbol_windows as (

    select
        received_symbols.symbol,
        date_trunc(
            if(
                (scales_by_symbol.has_primary or received_symbols.is_from_primary)
                and not scales_by_symbol.is_compared_before,
                least(
                    received_symbols.oldest_date,
                    coalesce(scales_by_symbol.first_month, received_symbols.oldest_date)
                ),
                received_symbols.oldest_date
            ),
            month
        ) as window_start
    from received_symbols
    left join scales_by_symbol
        on received_symbols.symbol = scales_by_symbol.symbol

),

-- A few symbols whose past has changed do not deepen the window of all.
ranked as (

    select
        symbol,
        window_start,
        row_number() over (order by window_start, symbol) as place
    from symbol_windows

),

common as (

    select
        coalesce(
            min(if(place > {{ var('deep_window_symbol_count') }}, window_start, null)),
            date_trunc(current_date('Asia/Kolkata'), month)
        ) as window_start
    from ranked

),

bounded as (

    select
        common.window_start,
        coalesce(min(symbol_windows.window_start), common.window_start) as deep_window_start,
        coalesce(
            string_agg(symbol_windows.symbol, ',' order by symbol_windows.symbol), ''
        ) as deep_window_symbols
    from common
    left join symbol_windows
        on common.window_start > symbol_windows.window_start
    group by common.window_start

)

select * from bounded
