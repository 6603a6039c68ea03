{{ config(materialized='table', tags=['actions']) }}

with

recorded as (

    select
        trade_date,
        count(*) as record_count
    from {{ ref('fct_daily_bar_revisions') }}
    where
        known_to is null
        and source_id = '{{ var('exchange_source') }}'
    group by trade_date

),

-- A record of only a few shares may not be a real one.
compared as (

    select
        trade_date,
        record_count,
        max(record_count) over (
            order by unix_date(trade_date)
            range between 60 preceding and 60 following
        ) as usual_record_count
    from recorded

),

sessions as (

    select
        trade_date,
        record_count
    from compared
    where record_count >= 0.5 * usual_record_count

)

select * from sessions
