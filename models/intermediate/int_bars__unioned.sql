select
    symbol,
    source_id,
    open,
    high,
    low,
    close,
    volume,
    {{ is_provisional('extracted_at', 'trade_date') }} as is_provisional,
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
    true as is_provisional,
    trade_date,
    extracted_at
from {{ ref('stg_kite__quotes') }}

union all

select
    symbol,
    source_id,
    open,
    high,
    low,
    close,
    volume,
    {{ is_provisional('extracted_at', 'trade_date') }} as is_provisional,
    trade_date,
    extracted_at
from {{ ref('stg_yahoo__daily_bars') }}
