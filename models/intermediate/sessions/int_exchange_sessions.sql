{{ config(materialized='table', tags=['actions']) }}

with

-- A record of only a few shares may not be a real one.
compared as (

    select
        trade_date,
        record_count,
        max(record_count) over (
            order by unix_date(trade_date)
            range between 60 preceding and 60 following
        ) as usual_record_count
    from {{ ref('int_exchange_days__counted') }}

),

sessions as (

    select
        trade_date,
        record_count
    from compared
    where record_count >= 0.5 * usual_record_count

)

select * from sessions
