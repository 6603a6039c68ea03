with

changed_evidence as (

    select count(*) as kind_count
    from {{ ref('int_action_evidence__digested') }} as digested
    full outer join {{ ref('int_action_evidence__merged') }} as merged
        on digested.kind = merged.kind
    where digested.digest is distinct from merged.digest

),

rescaled_symbols as (

    select count(*) as symbol_count
    from {{ ref('int_scales__digested') }} as digested
    full outer join {{ ref('int_scales__merged') }} as merged
        on digested.symbol = merged.symbol
    where digested.digest is distinct from merged.digest

),

-- If a session has become suspect for a source, stops being so, or was added to the calendar or
-- removed from it, all its bars are chosen again.
changed_sessions as (

    select coalesce(suspect.trade_date, merged.trade_date) as trade_date
    from {{ ref('int_suspect_sessions__found') }} as suspect
    full outer join {{ ref('int_suspect_sessions__merged') }} as merged
        on
            suspect.source_id = merged.source_id
            and suspect.trade_date = merged.trade_date
    where suspect.source_id is null or merged.source_id is null

    union all

    select coalesce(sessions.trade_date, merged.trade_date) as trade_date
    from {{ ref('dim_trading_sessions') }} as sessions
    full outer join {{ ref('int_trading_sessions__merged') }} as merged
        on sessions.trade_date = merged.trade_date
    -- The calendar reaches farther ahead with each build, so future sessions do not count as a
    -- change.
    where
        coalesce(sessions.trade_date, merged.trade_date) <= current_date('Asia/Kolkata')
        and (
            sessions.closes_at is distinct from merged.closes_at
            or sessions.is_short is distinct from merged.is_short
        )

),

first_changed_session as (

    select min(trade_date) as trade_date from changed_sessions

),

counted as (

    select
        changed_evidence.kind_count as changed_evidence_count,
        rescaled_symbols.symbol_count as rescaled_symbol_count,
        first_changed_session.trade_date as first_changed_session
    from changed_evidence
    cross join rescaled_symbols
    cross join first_changed_session

)

select * from counted
