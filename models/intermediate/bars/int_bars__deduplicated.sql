{{ config(tags=['actions', 'bars', 'windowed']) }}

select
    symbol,
    source_id,
    open,
    high,
    low,
    close,
    volume,
    -- A final bar counts its revisions; a provisional one is there to be replaced.
    if(is_provisional, 0, revision - 1) as revision_count,
    is_provisional,
    trade_date,
    known_from,
    last_received_at as extracted_at
from {{ ref('fct_daily_bar_revisions') }}
where
    known_to is null
    -- The first merged bar looks back to the one before it, which looks back to be checked itself.
    and {{ in_window('trade_date', context_days=2 * var('context_days')) }}
