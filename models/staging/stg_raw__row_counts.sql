with

counted as (

    select
        'nse_corporate_actions' as raw_table,
        count(*) as row_count
    from {{ source('raw', 'nse_corporate_actions') }}

    union all

    select
        'nse_daily_bars' as raw_table,
        count(*) as row_count
    from {{ source('raw', 'nse_daily_bars') }}

    union all

    select
        'nse_files' as raw_table,
        count(*) as row_count
    from {{ source('raw', 'nse_files') }}

    union all

    select
        'yahoo_corporate_actions' as raw_table,
        count(*) as row_count
    from {{ source('raw', 'yahoo_corporate_actions') }}

)

select * from counted
