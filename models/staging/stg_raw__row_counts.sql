-- Raw is appended to and never changed: where a table has as many rows, it has the same ones.
with

counted as (

    {% set tables = [
        'nse_corporate_actions', 'nse_daily_bars', 'nse_files', 'yahoo_corporate_actions'
    ] -%}
    {% for table in tables -%}
        select
            '{{ table }}' as raw_table,
            count(*) as row_count
        from {{ source('raw', table) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select * from counted
