-- The calendar by which the bars in fct_daily_bars were judged. Built last: if a build dies before
-- it, the next build merges the same sessions again.
{{ config(materialized='table', tags=['windowed']) }}
-- depends_on: {{ ref('int_bars__counted') }}, {{ ref('int_symbols__served') }}

select
    is_short,
    trade_date,
    closes_at
from {{ ref('dim_trading_sessions') }}
