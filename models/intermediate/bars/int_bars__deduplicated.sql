{{ config(tags=['actions', 'bars', 'windowed']) }}

select
    symbol,
    source_id,
    open,
    high,
    low,
    close,
    volume,
    -- Only changes of a final bar are revisions; a provisional bar is always replaced.
    if(is_provisional, 0, revision - 1) as revision_count,
    is_provisional,
    withdrawn_at is not null as is_withdrawn,
    trade_date,
    first_sent_at,
    last_received_at as extracted_at
from {{ ref('fct_daily_bar_revisions') }}
where
    (known_to is null or withdrawn_at is not null)
    -- The first merged bar is compared with the chosen bar before it. That bar is compared with the
    -- chosen bar before it, too, whose own checks need earlier bars.
    and {{ in_window('trade_date', context_days=3 * var('context_days')) }}
-- A bar that its source has withdrawn is still the last that is known of the day, if no other
-- source has a bar. Otherwise it is left out, so that it does not judge the others. A bar that was
-- withdrawn, and came back, is known by the version that came back.
qualify
    row_number() over (
        partition by symbol, source_id, trade_date
        order by known_from desc, revision desc
    ) = 1
    and (
        withdrawn_at is null
        or logical_and(withdrawn_at is not null) over (partition by symbol, trade_date)
    )
