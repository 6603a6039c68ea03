with

batch_events as (

    select
        _archive_path as archive_path,
        event,
        oldest_date
    from {{ source('raw', 'batch_events') }}

),

unmerged_batches as (

    select min(oldest_date) as oldest_date from batch_events
    group by archive_path
    having countif(event = 'merged') = 0

),

oldest as (

    select
        count(*) as batch_count,
        coalesce(min(oldest_date), current_date('Asia/Kolkata')) as trade_date
    from unmerged_batches

),

scales as (

    select * from {{ ref('int_source_scales__judged') }}

),

primary_source as (

    select source_id from {{ ref('source_precedence') }}
    group by source_id
    qualify row_number() over (order by min(precedence)) = 1

),

-- Symbols whose first comparison of sources may lie in this window: it judges all that came before.
primary_in_window as (

    select bars.symbol
    from {{ ref('int_bars__unioned') }} as bars
    inner join primary_source
        on bars.source_id = primary_source.source_id
    cross join oldest
    where
        bars.trade_date >= oldest.trade_date
        and bars.extracted_at >= timestamp(oldest.trade_date)
    group by bars.symbol

),

already_compared as (

    select scales.symbol
    from scales
    cross join oldest
    where
        scales.is_compared
        and scales.month < date_trunc(oldest.trade_date, month)
    group by scales.symbol

),

rejudged as (

    select min(scales.month) as month
    from scales
    inner join primary_in_window
        on scales.symbol = primary_in_window.symbol
    left join already_compared
        on scales.symbol = already_compared.symbol
    where
        already_compared.symbol is null
        and scales.bar_count > 0

),

bounded as (

    select
        oldest.batch_count as unmerged_batch_count,
        date_trunc(
            least(oldest.trade_date, coalesce(rejudged.month, oldest.trade_date)), month
        ) as window_start
    from oldest
    cross join rejudged

)

select * from bounded
