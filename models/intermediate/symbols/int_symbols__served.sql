{{
    config(
        tags=['bars', 'windowed'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol'],
        on_schema_change='fail',
    )
}}

-- Bars are never deleted, so a symbol that has had one keeps its row.
select symbol from {{ ref('fct_daily_bars') }}
{% if is_incremental() %}
    where trade_date >= {{ oldest_window_start() }}
{% endif %}
group by symbol
