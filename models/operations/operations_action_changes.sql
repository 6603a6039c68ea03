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

changed_sessions as (

    select count(*) as session_count
    from {{ ref('int_suspect_sessions__found') }} as suspect
    full outer join {{ ref('int_suspect_sessions__merged') }} as merged
        on
            suspect.source_id = merged.source_id
            and suspect.trade_date = merged.trade_date
    where suspect.source_id is null or merged.source_id is null

),

counted as (

    select
        changed_evidence.kind_count as changed_evidence_count,
        rescaled_symbols.symbol_count as rescaled_symbol_count,
        changed_sessions.session_count as changed_session_count
    from changed_evidence
    cross join rescaled_symbols
    cross join changed_sessions

)

select * from counted
