-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

sources as (

    select * from {{ ref('int_sources__ranked') }}

),

reports as (

    select
        symbol,
        source_id,
        subject,
        if(is_read and share_ratio > 0 and share_ratio != 1, share_ratio, null) as share_ratio,
        is_withdrawn,
        ex_date,
        extracted_at
    from {{ ref('int_corporate_actions__reported') }}
    where kind = 'share_event'

),

-- The exchange's ex-date is the official one; Yahoo's may be days off.
official as (

    select * from reports
    where source_id = 'nse'

),

by_yahoo as (

    select
        reports.symbol,
        reports.share_ratio,
        reports.extracted_at,
        reports.ex_date as reported_ex_date,
        official.ex_date as official_ex_date,
        coalesce(official.ex_date, reports.ex_date) as ex_date
    from reports
    left join official
        on
            reports.symbol = official.symbol
            and abs(date_diff(reports.ex_date, official.ex_date, day)) <= 5
    where reports.source_id = 'yahoo'
    qualify
        row_number() over (
            partition by reports.symbol, reports.ex_date
            order by
                official.is_withdrawn asc,
                abs(date_diff(reports.ex_date, official.ex_date, day)) asc,
                official.ex_date asc
        ) = 1

),

-- Yahoo reports some events twice (UNOMINDA 2022-06-09 and 2022-07-07, LODHA 2023-05-26 and 31):
-- the other one is the exchange's, or comes later.
yahoo_repeats as (

    select
        repeated.symbol,
        repeated.ex_date
    from by_yahoo as repeated
    inner join by_yahoo as original
        on
            repeated.symbol = original.symbol
            and abs(repeated.share_ratio / original.share_ratio - 1) <= 0.001
            and abs(date_diff(repeated.reported_ex_date, original.reported_ex_date, day))
            between 1 and 45
    where
        repeated.official_ex_date is null
        and (
            original.official_ex_date is not null
            or original.ex_date > repeated.ex_date
        )
    group by repeated.symbol, repeated.ex_date

),

restatements as (

    select
        restatements.symbol,
        restatements.source_id,
        restatements.price_ratio,
        restatements.ex_date,
        restatements.detected_at,
        sources.is_primary
    from {{ ref('fct_price_restatements') }} as restatements
    inner join sources
        on restatements.source_id = sources.source_id
    where restatements.kind = 'share_event' and restatements.ex_date is not null

),

reported_events as (

    select
        symbol,
        ex_date,
        is_withdrawn
    from official

    union all

    select
        symbol,
        ex_date,
        false as is_withdrawn
    from by_yahoo
    where official_ex_date is null

),

-- A restatement that comes late, or before the last bars are final, may miss the ex-date by days.
attached as (

    select
        restatements.symbol,
        restatements.source_id,
        restatements.price_ratio,
        restatements.is_primary,
        restatements.ex_date as restated_ex_date,
        events.ex_date as reported_ex_date,
        restatements.detected_at
    from restatements
    left join reported_events as events
        on
            restatements.symbol = events.symbol
            and abs(date_diff(restatements.ex_date, events.ex_date, day)) <= 5
    qualify
        row_number() over (
            partition by restatements.symbol, restatements.source_id, restatements.ex_date
            order by
                events.is_withdrawn asc,
                abs(date_diff(restatements.ex_date, events.ex_date, day)) asc,
                events.ex_date asc,
                restatements.detected_at desc
        ) = 1

),

-- Of an event that nobody reports, the sources' restatements may be days apart.
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
        max(if(sources.is_primary, measured.traded_step, null)) as primary_step,
        max(if(sources.is_primary, null, measured.traded_step)) as fallback_step,
        max(if(sources.is_primary, measured.retold_step, null)) as primary_retold_step,
        max(if(sources.is_primary, null, measured.retold_step)) as fallback_retold_step,
        measured.ex_date
    from {{ ref('int_share_events__measured') }} as measured
    inner join sources
        on measured.source_id = sources.source_id
    group by measured.symbol, measured.ex_date

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

),

-- Some lists are of a few hundred shares.
named as (

    select
        symbol,
        extracted_at
    from {{ ref('int_exchange_records__resolved') }}
    where symbol is not null
    group by symbol, extracted_at

),

-- A list that names a share has every split and bonus of it of the days that it reaches over.
unlisted as (

    select
        by_yahoo.symbol,
        by_yahoo.ex_date
    from by_yahoo
    inner join {{ ref('int_exchange_lists__covered') }} as lists
        on
            by_yahoo.ex_date between lists.first_day and lists.last_day
            and coalesce(by_yahoo.symbol = lists.only_symbol, true)
    inner join named
        on
            by_yahoo.symbol = named.symbol
            and lists.extracted_at = named.extracted_at
    left join official
        on
            by_yahoo.symbol = official.symbol
            and by_yahoo.ex_date = official.ex_date
            and not official.is_withdrawn
    where lists.only_kind is null and official.symbol is null
    group by by_yahoo.symbol, by_yahoo.ex_date

),

gathered as (

    select
        all_events.symbol,
        official.subject,
        official.share_ratio as official_ratio,
        by_yahoo.share_ratio as yahoo_ratio,
        restated.source_ids as restated_by,
        restated.primary_ratio,
        restated.fallback_ratio,
        steps.primary_step,
        steps.fallback_step,
        steps.primary_retold_step,
        steps.fallback_retold_step,
        -- Both restated by one ratio that a split or a bonus can have: 10, 2, 1.5, 4/3.
        if(
            abs(restated.primary_ratio / restated.fallback_ratio - 1) <= 0.005
            and abs(ln(restated.primary_ratio)) > 0.04,
            (
                select round(round(denominator / restated.primary_ratio) / denominator, 6)
                from unnest([1, 2, 3, 4, 5, 10]) as denominator
                where
                    abs(
                        round(denominator / restated.primary_ratio)
                        / (denominator / restated.primary_ratio)
                        - 1
                    ) <= 0.002
                order by denominator
                limit 1
            ),
            null
        ) as shown_ratio,
        official.symbol is not null as is_official,
        coalesce(official.is_withdrawn, false) as is_withdrawn,
        by_yahoo.symbol is not null as is_by_yahoo,
        yahoo_repeats.symbol is not null as is_repeat,
        unlisted.symbol is not null as is_unlisted,
        coalesce(all_events.ex_date > traded.latest_session, true) as is_coming,
        all_events.ex_date,
        greatest(
            coalesce(official.extracted_at, by_yahoo.extracted_at),
            coalesce(by_yahoo.extracted_at, official.extracted_at)
        ) as reported_at,
        restated.detected_at
    from all_events
    left join official
        on all_events.symbol = official.symbol and all_events.ex_date = official.ex_date
    left join by_yahoo
        on all_events.symbol = by_yahoo.symbol and all_events.ex_date = by_yahoo.ex_date
    left join restated
        on all_events.symbol = restated.symbol and all_events.ex_date = restated.ex_date
    left join steps
        on all_events.symbol = steps.symbol and all_events.ex_date = steps.ex_date
    left join yahoo_repeats
        on all_events.symbol = yahoo_repeats.symbol and all_events.ex_date = yahoo_repeats.ex_date
    left join unlisted
        on all_events.symbol = unlisted.symbol and all_events.ex_date = unlisted.ex_date
    left join {{ ref('int_symbols__traded') }} as traded
        on all_events.symbol = traded.symbol
    qualify
        row_number() over (
            partition by all_events.symbol, all_events.ex_date
            order by abs(date_diff(by_yahoo.reported_ex_date, all_events.ex_date, day))
        ) = 1

),

candidates as (

    select
        gathered.*,
        claim.claimed_by,
        claim.share_ratio as claimed_ratio
    from gathered
    cross join
        unnest([
            struct('nse' as claimed_by, gathered.official_ratio as share_ratio),
            struct('yahoo' as claimed_by, gathered.yahoo_ratio as share_ratio),
            struct(
                'restatement' as claimed_by,
                coalesce(
                    gathered.shown_ratio,
                    round(1 / gathered.primary_ratio, 6),
                    round(1 / gathered.fallback_ratio, 6)
                ) as share_ratio
            )
        ]) as claim
    where claim.share_ratio > 0

),

-- A share moves by a fifth in a day at the most: a step of a small bonus is lost in it, one of a
-- split is not.
compared as (

    select
        *,
        abs(ln(primary_step) + ln(claimed_ratio))
        <= least(0.2, 0.4 * abs(ln(claimed_ratio))) as is_primary_step,
        abs(ln(fallback_step) + ln(claimed_ratio))
        <= least(0.2, 0.4 * abs(ln(claimed_ratio))) as is_fallback_step,
        abs(ln(coalesce(primary_retold_step, fallback_retold_step)) + ln(claimed_ratio))
        <= least(0.2, 0.4 * abs(ln(claimed_ratio))) as is_retold_step,
        -- A dividend of the same day may be a part of what a source has restated.
        abs(primary_ratio * claimed_ratio - 1)
        <= if(abs(ln(claimed_ratio)) > 0.3, 0.06, 0.02) as is_primary_ratio,
        abs(fallback_ratio * claimed_ratio - 1)
        <= if(abs(ln(claimed_ratio)) > 0.3, 0.06, 0.02) as is_fallback_ratio,
        abs(ln(claimed_ratio)) > 0.3 as is_large
    from candidates

),

weighed as (

    select
        *,
        coalesce(is_primary_ratio and claimed_by != 'restatement', false)
        or coalesce(is_primary_step, false)
        or coalesce(
            is_fallback_step and not (is_large and not coalesce(is_primary_step, true)), false
        )
        or (
            (
                coalesce(is_fallback_ratio and claimed_by != 'restatement', false)
                or coalesce(is_retold_step and is_large, false)
            )
            and not (is_large and not coalesce(is_primary_step, true))
            and not (is_large and not coalesce(is_fallback_step, true))
        ) as is_borne_out,
        coalesce(
            (is_large and not is_primary_step)
            or (is_large and not is_fallback_step)
            or not is_primary_ratio
            or not is_fallback_ratio,
            false
        ) as is_doubted
    from compared

),

-- The claim that the prices bear out; else the exchange's, Yahoo's, and what restatements imply.
best as (

    select * from weighed
    qualify
        row_number() over (
            partition by symbol, ex_date
            order by
                is_borne_out desc,
                if(claimed_by = 'nse', 0, if(claimed_by = 'yahoo', 1, 2)) asc
        ) = 1

),

-- Prices that bear out what a restatement implies deny what was reported instead.
with_denials as (

    select
        * except (is_doubted),
        coalesce(official_ratio, yahoo_ratio) as reported_ratio,
        if(
            claimed_by = 'restatement',
            coalesce(official_ratio, yahoo_ratio) is not null,
            is_doubted
        ) as is_denied
    from best

),

with_status as (

    select
        *,
        case
            when is_coming and not is_withdrawn then 'announced'
            when is_borne_out and not (claimed_by = 'restatement' and is_denied) then 'confirmed'
            when claimed_by = 'restatement' and shown_ratio is not null and not is_denied
                then 'confirmed'
            when is_withdrawn and not is_by_yahoo then 'withdrawn'
            when is_denied then 'contradicted'
            when claimed_by = 'yahoo' and (is_repeat or is_unlisted) then 'contradicted'
            when abs(official_ratio / yahoo_ratio - 1) <= 0.001 then 'confirmed'
            else 'reported'
        end as status
    from with_denials

),

-- Nobody could read what the exchange says, and no one else tells.
unread as (

    select
        gathered.symbol,
        gathered.subject,
        gathered.is_withdrawn,
        gathered.is_coming,
        gathered.ex_date,
        gathered.reported_at
    from gathered
    left join best
        on gathered.symbol = best.symbol and gathered.ex_date = best.ex_date
    where best.symbol is null

),

judged as (

    select
        symbol,
        status,
        case
            when status = 'announced'
                then 'No session from the ex-date on is known yet; no price is changed.'
            when status = 'confirmed' and claimed_by = 'restatement'
                then 'Nobody reports it. The sources changed the prices before it by this ratio.'
            when status = 'confirmed' and is_borne_out then 'The prices change by this ratio.'
            when status = 'confirmed' then 'The exchange and Yahoo report the same ratio.'
            when status = 'withdrawn'
                then 'A later list of the exchange reaches over this day and does not name it.'
            when status = 'contradicted' and is_denied and shown_ratio is not null
                then concat(
                        'The prices deny the reported ratio of ', cast(reported_ratio as string),
                        '. Both sources changed their past by ', cast(shown_ratio as string),
                        ', which is applied.'
                    )
            when status = 'contradicted' and is_denied
                then 'The prices deny the reported ratio; none is applied.'
            when status = 'contradicted' and is_repeat
                then 'Yahoo reports the same event twice; this report is not applied.'
            when status = 'contradicted'
                then 'A list of the exchange reaches over this day and does not name it.'
            when claimed_by = 'restatement'
                then 'Nobody reports it; one source has changed the prices before it.'
            when official_ratio is not null and yahoo_ratio is not null
                then concat(
                        'The exchange reports ', cast(official_ratio as string), ' and Yahoo ',
                        cast(yahoo_ratio as string), '; no price tells who is right.'
                    )
            else 'One source reports it; no price tells whether it is right.'
        end as status_reason,
        subject,
        if(
            is_official and is_by_yahoo, 'nse,yahoo',
            if(is_official, 'nse', if(is_by_yahoo, 'yahoo', null))
        ) as reported_by,
        restated_by as inferred_from,
        reported_ratio,
        case
            when status = 'contradicted' and is_denied then shown_ratio
            when status in ('withdrawn', 'contradicted') then null
            -- Rewritten prices of one source are no report.
            when claimed_by = 'restatement' and status != 'confirmed' and shown_ratio is null
                then null
            else claimed_ratio
        end as share_ratio,
        coalesce(primary_ratio, fallback_ratio) as price_ratio,
        ex_date,
        reported_at,
        detected_at
    from with_status

    union all

    select
        symbol,
        if(is_withdrawn, 'withdrawn', if(is_coming, 'announced', 'unreadable')) as status,
        if(
            is_withdrawn,
            'A later list of the exchange reaches over this day and does not name it.',
            'A part of what the exchange says was not understood, and nobody else reports it.'
        ) as status_reason,
        subject,
        'nse' as reported_by,
        cast(null as string) as inferred_from,
        cast(null as float64) as reported_ratio,
        cast(null as float64) as share_ratio,
        cast(null as float64) as price_ratio,
        ex_date,
        reported_at,
        cast(null as timestamp) as detected_at
    from unread

)

select * from judged
