-- A table, because the view operations_alerts already reads nearly as much as BigQuery allows.
{{ config(materialized='table', tags=['bars', 'evidence']) }}

with

holidays as (

    select closed_on as trade_date from {{ ref('trading_holidays') }}

),

special_sessions as (

    select trade_date from {{ ref('special_sessions') }}

),

announced as (

    select
        kind = 'holiday' as is_closed,
        list_year,
        trade_date
    from {{ ref('int_calendar_days__announced') }}

),

listed_years as (

    select list_year from announced
    where list_year is not null
    group by list_year

),

-- Some forms of the list contain weekends, and the seeds never do.
closed_by_list as (

    select trade_date from announced
    where
        is_closed
        and extract(dayofweek from trade_date) between 2 and 6

),

closed_by_list_alone as (

    select closed_by_list.trade_date
    from closed_by_list
    left join holidays
        on closed_by_list.trade_date = holidays.trade_date
    left join special_sessions
        on closed_by_list.trade_date = special_sessions.trade_date
    where
        holidays.trade_date is null
        and special_sessions.trade_date is null
        and closed_by_list.trade_date <= date '{{ var("calendar_end") }}'

),

closed_by_seeds_alone as (

    select holidays.trade_date
    from holidays
    inner join listed_years
        on extract(year from holidays.trade_date) = listed_years.list_year
    left join closed_by_list
        on holidays.trade_date = closed_by_list.trade_date
    where closed_by_list.trade_date is null

),

disputed as (

    select
        true as is_closed_by_list,
        trade_date
    from closed_by_list_alone

    union all

    select
        false as is_closed_by_list,
        trade_date
    from closed_by_seeds_alone

)

select * from disputed
