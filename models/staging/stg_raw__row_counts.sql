-- Raw is append-only: if a table has the same number of rows as before, it has the same rows.
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
