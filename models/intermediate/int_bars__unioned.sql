select
    symbol,
    source_id,
    open,
    high,
    low,
    close,
    volume,
    trade_date,
    extracted_at
from {{ ref('stg_kite__daily_bars') }}

union all

select
    symbol,
    source_id,
    open,
    high,
    low,
    close,
    volume,
    trade_date,
    extracted_at
from {{ ref('stg_yahoo__daily_bars') }}
