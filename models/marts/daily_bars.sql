{{ config(materialized='view') }}

select
    symbol,
    instrument_id,
    source_id,
    sector,
    failed_checks,
    open,
    high,
    low,
    close,
    previous_close,
    cast(close as float64) / cast(previous_close as float64) - 1 as daily_return,
    volume,
    round(100 * passed_weight / applicable_weight, 1) as quality_score,
    is_provisional,
    trade_date,
    extracted_at
from {{ ref('fct_daily_bars') }}
where is_valid
