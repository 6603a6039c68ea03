{{ config(tags=['windowed']) }}
-- A returned row is a bar that an analyst can read and that cannot be: the choice let it through.
select
    symbol,
    trade_date
from {{ ref('daily_bars') }}
where
    {{ in_window('trade_date') }}
    and (
        low <= 0
        or high < greatest(open, low, close)
        or low > least(open, high, close)
        or volume < 0
    )
