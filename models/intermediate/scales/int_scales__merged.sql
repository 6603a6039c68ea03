-- The digests by which the bars in fct_daily_bars were put on one scale. Built last: if a build
-- dies before it, the next build merges the same symbols again.
{{ config(materialized='table', cluster_by=['symbol'], tags=['windowed']) }}
-- depends_on: {{ ref('int_bars__counted') }}, {{ ref('int_symbols__served') }}

select
    symbol,
    digest
from {{ ref('int_scales__digested') }}
