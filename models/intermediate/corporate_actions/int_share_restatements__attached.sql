-- A table, because the next model reads it several times.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

sources as (

    select * from {{ ref('int_sources__ranked') }}

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
    where
        restatements.kind = 'share_event'
        and restatements.ex_date is not null
        and not sources.is_exchange

),

reported_events as (

    select * from {{ ref('int_share_events__dated') }}

),

-- The reports near a restatement, and whether the prices show its step on either day.
near_reports as (

    select
        restatements.symbol,
        restatements.source_id,
        restatements.price_ratio,
        restatements.is_primary,
        restatements.ex_date as restated_ex_date,
        restatements.detected_at,
        events.ex_date as reported_ex_date,
        events.is_withdrawn,
        logical_or(
            {{ is_step_of('at_restatement.traded_step', 'ln(restatements.price_ratio)') }}
        ) as is_shown_when_restated,
        logical_or(
            {{ is_step_of('at_report.traded_step', 'ln(restatements.price_ratio)') }}
        ) as is_shown_when_reported
    from restatements
    left join reported_events as events
        on
            restatements.symbol = events.symbol
            and abs(date_diff(restatements.ex_date, events.ex_date, day)) <= 5
    left join {{ ref('int_share_events__measured') }} as at_restatement
        on
            restatements.symbol = at_restatement.symbol
            and restatements.ex_date = at_restatement.ex_date
    left join {{ ref('int_share_events__measured') }} as at_report
        on
            events.symbol = at_report.symbol
            and events.ex_date = at_report.ex_date
    group by
        restatements.symbol,
        restatements.source_id,
        restatements.price_ratio,
        restatements.is_primary,
        restatements.ex_date,
        restatements.detected_at,
        events.ex_date,
        events.is_withdrawn

),

-- A restatement that comes late, or before the last bars are final, may be dated days off the
-- ex-date. But if the prices show its step on its own day and not on the reported one, the report
-- has a wrong day.
dated as (

    select
        *,
        coalesce(is_shown_when_restated and not is_shown_when_reported, false) as is_misdated
    from near_reports

),

attached as (

    select
        symbol,
        source_id,
        price_ratio,
        is_primary,
        restated_ex_date,
        if(is_misdated, null, reported_ex_date) as reported_ex_date,
        detected_at
    from dated
    qualify
        row_number() over (
            partition by symbol, source_id, restated_ex_date
            order by
                is_misdated asc,
                is_withdrawn asc,
                abs(date_diff(restated_ex_date, dated.reported_ex_date, day)) asc,
                dated.reported_ex_date asc,
                detected_at desc
        ) = 1

)

select * from attached
