{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

share_events as (

    select
        symbol,
        ln(share_ratio) as exponent,
        ex_date
    from {{ ref('int_share_events__judged') }}
    where share_ratio > 0

),

-- A stretch of days begins with an ex-date; the first one has no beginning.
beginnings as (

    select
        symbol,
        ex_date as valid_from
    from share_events
    group by symbol, ex_date

    union all

    select
        symbol,
        date '0001-01-01' as valid_from
    from share_events
    group by symbol

),

accumulated as (

    select
        beginnings.symbol,
        round(exp(-coalesce(sum(share_events.exponent), 0)), 10) as share_factor,
        beginnings.valid_from
    from beginnings
    left join share_events
        on
            beginnings.symbol = share_events.symbol
            and beginnings.valid_from < share_events.ex_date
    group by beginnings.symbol, beginnings.valid_from

),

bounded as (

    select
        *,
        lead(valid_from, 1, date '9999-12-31') over (
            partition by symbol
            order by valid_from
        ) as valid_to
    from accumulated

)

select * from bounded
