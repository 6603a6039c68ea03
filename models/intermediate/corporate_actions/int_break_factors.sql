{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

-- A merge never deletes: int_scale_breaks__found keeps the break of an event that was withdrawn
-- later, or turned out to be another event.
breaks as (

    select
        found.symbol,
        found.source_id,
        found.share_ratio,
        found.break_date,
        found.ex_date
    from {{ ref('int_scale_breaks__found') }} as found
    inner join {{ ref('int_share_events__judged') }} as judged
        on
            found.symbol = judged.symbol
            and found.ex_date = judged.ex_date
            and found.share_ratio = judged.share_ratio
    where found.break_date is not null

),

-- Bars before a break are in the shares from before the event, for all later breaks together.
accumulated as (

    select
        breaks.symbol,
        breaks.source_id,
        round(exp(-sum(ln(later_breaks.share_ratio))), 10) as break_factor,
        max(later_breaks.ex_date) as known_from,
        breaks.break_date as valid_to
    from breaks
    inner join breaks as later_breaks
        on
            breaks.symbol = later_breaks.symbol
            and breaks.source_id = later_breaks.source_id
            and breaks.break_date <= later_breaks.break_date
    group by breaks.symbol, breaks.source_id, breaks.break_date

),

bounded as (

    select
        *,
        lag(valid_to, 1, date '0001-01-01') over (
            partition by symbol, source_id
            order by valid_to
        ) as valid_from
    from accumulated

)

select * from bounded
