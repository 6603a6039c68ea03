with

records as (

    select
        symbol,
        kind,
        case
            when kind in ('bonus', 'split') then 'share_event'
            -- A part that was not understood may have been a dividend or a share event.
            when kind != 'dividend' and not is_read and has_unread_share_action
                then 'share_event'
            else kind
        end as event_kind,
        subject,
        action,
        dividend_amount,
        share_ratio,
        if(kind = 'dividend', not has_unread_dividend, not has_unread_share_action) as is_read,
        is_revision,
        ex_date,
        record_date,
        extracted_at
    from {{ ref('int_exchange_records__resolved') }}
    where symbol is not null

),

-- Of the lists with an action of a day, the latest one is right. A list has a record twice if it
-- was revised, or if two files are of one day.
freshest as (

    select * from records
    qualify extracted_at = max(extracted_at) over (partition by symbol, event_kind, ex_date)

),

parts as (

    select
        symbol,
        kind,
        event_kind,
        action,
        dividend_amount,
        share_ratio,
        is_read,
        -- A revision replaces the parts with the same words, whatever their amount.
        if(event_kind = 'dividend', regexp_replace(action, r' [0-9.]+$', ''), kind) as words,
        logical_or(is_revision) as is_revision,
        ex_date,
        string_agg(distinct subject, '; ' order by subject) as subject,
        max(record_date) as record_date,
        max(extracted_at) as extracted_at
    from freshest
    group by
        symbol,
        kind,
        event_kind,
        action,
        dividend_amount,
        share_ratio,
        is_read,
        ex_date

),

unrevised_parts as (

    select * from parts
    qualify
        is_revision
        or not logical_or(is_revision) over (partition by symbol, event_kind, words, ex_date)

),

actions as (

    select
        symbol,
        event_kind as kind,
        string_agg(distinct subject, '; ' order by subject) as subject,
        string_agg(distinct kind, ' and ' order by kind) as share_kinds,
        -- If one part has no amount, the sum is null.
        if(logical_and(is_read), sum(dividend_amount), null) as dividend_amount,
        if(
            event_kind = 'share_event' and logical_and(is_read and share_ratio > 0),
            round(exp(sum(if(share_ratio > 0, ln(share_ratio), 0))), 6),
            null
        ) as share_ratio,
        logical_and(is_read) as is_read,
        ex_date,
        max(record_date) as record_date,
        max(extracted_at) as extracted_at
    from unrevised_parts
    group by symbol, event_kind, ex_date

),

first_listed as (

    select
        symbol,
        event_kind as kind,
        ex_date,
        min(extracted_at) as first_listed_at
    from records
    group by symbol, event_kind, ex_date

),

lists as (

    select * from {{ ref('int_exchange_lists__covered') }}

),

-- A later list covers the day and would name the action, but does not name it.
unlisted as (

    select
        actions.symbol,
        actions.kind,
        actions.ex_date
    from actions
    inner join lists
        on
            actions.ex_date between lists.first_day and lists.last_day
            and actions.extracted_at < lists.extracted_at
    where
        coalesce(lists.only_symbol = actions.symbol, true)
        and strpos(lists.unread_symbols, concat(',', actions.symbol, ',')) = 0
        and coalesce(strpos(actions.share_kinds, lists.only_kind) > 0, true)
    group by actions.symbol, actions.kind, actions.ex_date

),

-- A company does not give the same bonus twice within two months, nor the same dividend within ten
-- days, so the day was moved.
moved as (

    select
        actions.symbol,
        actions.kind,
        actions.ex_date
    from actions
    inner join actions as later_actions
        on
            actions.symbol = later_actions.symbol
            and actions.kind = later_actions.kind
            and actions.share_kinds = later_actions.share_kinds
            and (
                abs(actions.share_ratio - later_actions.share_ratio) <= 0.001
                or (
                    actions.dividend_amount = later_actions.dividend_amount
                    and abs(date_diff(actions.ex_date, later_actions.ex_date, day)) <= 10
                )
            )
            and actions.ex_date != later_actions.ex_date
            and abs(date_diff(actions.ex_date, later_actions.ex_date, day)) <= 60
    inner join first_listed
        on
            later_actions.symbol = first_listed.symbol
            and later_actions.kind = first_listed.kind
            and later_actions.ex_date = first_listed.ex_date
            and actions.extracted_at < first_listed.first_listed_at
    where actions.kind in ('share_event', 'dividend')
    group by actions.symbol, actions.kind, actions.ex_date

),

withdrawn as (

    select * from unlisted

    union distinct

    select * from moved

),

deduplicated as (

    select
        actions.symbol,
        'nse' as source_id,
        actions.kind,
        actions.subject,
        actions.share_kinds,
        actions.dividend_amount,
        actions.share_ratio,
        actions.is_read,
        withdrawn.symbol is not null as is_withdrawn,
        actions.ex_date,
        actions.record_date,
        first_listed.first_listed_at,
        actions.extracted_at
    from actions
    inner join first_listed
        on
            actions.symbol = first_listed.symbol
            and actions.kind = first_listed.kind
            and actions.ex_date = first_listed.ex_date
    left join withdrawn
        on
            actions.symbol = withdrawn.symbol
            and actions.kind = withdrawn.kind
            and actions.ex_date = withdrawn.ex_date

)

select * from deduplicated
