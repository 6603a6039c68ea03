-- The suspect sessions by which the bars in fct_daily_bars were chosen. Built last: if a build dies
-- before it, the next build merges the same sessions again.
{{ config(materialized='table', tags=['windowed']) }}
-- depends_on: {{ ref('int_bars__counted') }}, {{ ref('int_symbols__served') }}

select
    source_id,
    trade_date
from {{ ref('int_suspect_sessions__found') }}
