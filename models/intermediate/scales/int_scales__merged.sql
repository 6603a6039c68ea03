-- By what the bars in fct_daily_bars were put on one scale. It is built last: where a build died
-- before it, the next one merges the same symbols again.
{{ config(materialized='table', cluster_by=['symbol'], tags=['windowed']) }}
-- depends_on: {{ ref('fct_daily_bars') }}

select
    symbol,
    digest
from {{ ref('int_scales__digested') }}
