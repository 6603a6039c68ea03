-- A table, because three models read it, and other models read those.
{{ config(materialized='table', tags=['bars', 'evidence']) }}

with

announced as (

    select
        *,
        date(extracted_at, 'Asia/Kolkata') as list_date
    from {{ ref('stg_nse__calendar_days') }}

),

-- A later list of a year replaces the earlier one completely.
latest_lists as (

    select * from announced
    where list_year is not null
    qualify
        rank() over (partition by list_year order by extracted_at desc, list_id desc) = 1

),

special_sessions as (

    select * from announced
    where list_year is null

),

of_either as (

    select * from latest_lists
    union all
    select * from special_sessions

),

-- A file of special sessions adds what the list does not say about a day, such as its hours.
announced_days as (

    select
        kind,
        reason,
        list_year,
        coalesce(is_short, kind != 'holiday') as is_short,
        opens_at_ist,
        closes_at_ist,
        list_date,
        trade_date
    from of_either
    qualify
        row_number() over (
            partition by trade_date
            order by
                if(list_year is null, 0, 1) asc, extracted_at desc, list_id desc, kind asc
        ) = 1

)

select * from announced_days
