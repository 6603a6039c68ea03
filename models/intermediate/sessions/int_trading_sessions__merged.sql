-- The calendar by which the bars in fct_daily_bars were judged. It is built last: where a build
-- died before it, the next one merges the same sessions again.
{{ config(materialized='table', tags=['windowed']) }}
-- depends_on: {{ ref('fct_daily_bars') }}

select
    is_short,
    trade_date,
    closes_at
from {{ ref('dim_trading_sessions') }}
