-- A table, because the next model reads it several times.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

sources as (

    select * from {{ ref('int_sources__ranked') }}

),

reported_events as (

    select * from {{ ref('int_share_events__dated') }}

),

attached as (

    select * from {{ ref('int_share_restatements__attached') }}

),

-- For an event that no source reports, the sources' restatements may be dated days apart.
unreported as (

    select
        attached.symbol,
        attached.source_id,
        attached.restated_ex_date,
        min(others.restated_ex_date) as ex_date
    from attached
    inner join attached as others
        on
            attached.symbol = others.symbol
            and others.reported_ex_date is null
            and date_diff(attached.restated_ex_date, others.restated_ex_date, day) between 0 and 5
    where attached.reported_ex_date is null
    group by attached.symbol, attached.source_id, attached.restated_ex_date

),

restated_by_source as (

    select
        attached.symbol,
        attached.source_id,
        attached.price_ratio,
        attached.is_primary,
        coalesce(attached.reported_ex_date, unreported.ex_date) as ex_date,
        attached.detected_at
    from attached
    left join unreported
        on
            attached.symbol = unreported.symbol
            and attached.source_id = unreported.source_id
            and attached.restated_ex_date = unreported.restated_ex_date
    qualify
        row_number() over (
            partition by
                attached.symbol,
                attached.source_id,
                coalesce(attached.reported_ex_date, unreported.ex_date)
            order by attached.detected_at desc
        ) = 1

),

restated as (

    select
        symbol,
        string_agg(source_id, ',' order by source_id) as source_ids,
        max(if(is_primary, price_ratio, null)) as primary_ratio,
        max(if(is_primary, null, price_ratio)) as fallback_ratio,
        ex_date,
        min(detected_at) as detected_at
    from restated_by_source
    group by symbol, ex_date

),

steps as (

    select
        measured.symbol,
        -- The exchange's record shows the step as traded, whatever the sources did with it.
        coalesce(
            max(if(sources.is_exchange, measured.traded_step, null)),
            max(if(sources.is_primary, measured.traded_step, null))
        ) as primary_step,
        coalesce(
            max(if(sources.is_exchange, measured.traded_step, null)),
            max(if(sources.is_primary, null, measured.traded_step))
        ) as fallback_step,
        max(if(sources.is_primary, measured.retold_step, null)) as primary_retold_step,
        max(if(sources.is_primary or sources.is_exchange, null, measured.retold_step))
            as fallback_retold_step,
        measured.ex_date
    from {{ ref('int_share_events__measured') }} as measured
    inner join sources
        on measured.source_id = sources.source_id
    group by measured.symbol, measured.ex_date

),

exchange_steps as (

    select * from {{ ref('int_exchange_steps__found') }}

),

-- Steps that no report explains. Providers also take rights and demergers out of their past, by
-- ratios of their own.
unexplained_steps as (

    select
        exchange_steps.symbol,
        exchange_steps.ex_date
    from exchange_steps
    left join {{ ref('int_corporate_actions__reported') }} as reported
        on
            exchange_steps.symbol = reported.symbol
            and abs(date_diff(exchange_steps.ex_date, reported.ex_date, day)) <= 5
    left join restated
        on
            exchange_steps.symbol = restated.symbol
            and abs(date_diff(exchange_steps.ex_date, restated.ex_date, day)) <= 5
    where
        exchange_steps.share_ratio is not null
        and reported.symbol is null
        and restated.symbol is null

),

all_events as (

    select
        symbol,
        ex_date
    from reported_events

    union distinct

    select
        symbol,
        ex_date
    from restated

    union distinct

    select
        symbol,
        ex_date
    from unexplained_steps

),

-- Some lists contain only a few hundred shares.
named as (

    select
        symbol,
        list_id
    from {{ ref('int_exchange_records__resolved') }}
    where symbol is not null
    group by symbol, list_id

),

-- A list that names a share has all its splits and bonuses of the days that the list covers.
unlisted as (

    select
        events.symbol,
        events.ex_date
    from reported_events as events
    inner join {{ ref('int_exchange_lists__covered') }} as lists
        on
            events.ex_date between lists.first_day and lists.last_day
            and coalesce(events.symbol = lists.only_symbol, true)
            and strpos(lists.unread_symbols, concat(',', events.symbol, ',')) = 0
    inner join named
        on
            events.symbol = named.symbol
            and lists.list_id = named.list_id
    where
        lists.only_kind is null
        and events.is_by_yahoo
        and (not events.is_official or events.is_withdrawn)
    group by events.symbol, events.ex_date

),

gathered as (

    select
        all_events.symbol,
        events.subject,
        events.official_ratio,
        events.yahoo_ratio,
        restated.source_ids as restated_by,
        restated.primary_ratio,
        restated.fallback_ratio,
        steps.primary_step,
        steps.fallback_step,
        exchange_steps.price_ratio as exchange_ratio,
        exchange_steps.share_ratio as exchange_share_ratio,
        exchange_steps.source_ids as taken_out_by,
        steps.primary_retold_step,
        steps.fallback_retold_step,
        -- The ratio by which both sources rewrote their prices, if a split or a bonus can have it,
        -- such as 10, 2, 1.5 or 4/3.
        if(
            abs(restated.primary_ratio / restated.fallback_ratio - 1) <= 0.005
            and abs(ln(restated.primary_ratio)) > 0.04,
            {{ plausible_ratio('restated.primary_ratio') }},
            null
        ) as shown_ratio,
        coalesce(events.is_official, false) as is_official,
        coalesce(events.is_withdrawn, false) as is_withdrawn,
        coalesce(events.is_by_yahoo, false) as is_by_yahoo,
        coalesce(events.is_repeat, false) as is_repeat,
        unlisted.symbol is not null as is_unlisted,
        coalesce(all_events.ex_date > traded.latest_session, true) as is_coming,
        all_events.ex_date,
        events.reported_at,
        restated.detected_at
    from all_events
    left join reported_events as events
        on all_events.symbol = events.symbol and all_events.ex_date = events.ex_date
    left join restated
        on all_events.symbol = restated.symbol and all_events.ex_date = restated.ex_date
    left join steps
        on all_events.symbol = steps.symbol and all_events.ex_date = steps.ex_date
    left join exchange_steps
        on
            all_events.symbol = exchange_steps.symbol
            and all_events.ex_date = exchange_steps.ex_date
    left join unlisted
        on all_events.symbol = unlisted.symbol and all_events.ex_date = unlisted.ex_date
    left join {{ ref('int_symbols__traded') }} as traded
        on all_events.symbol = traded.symbol

)

select * from gathered
