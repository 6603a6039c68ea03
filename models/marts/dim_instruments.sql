select
    instrument_id,
    symbol,
    isin,
    name,
    sector,
    kite_tradingsymbol,
    yahoo_ticker,
    alpha_vantage_ticker,
    listed_on
from {{ ref('instruments') }}
