{{ config(materialized='view') }}

with

reported as (

    select
        symbol,
        source_id,
        kind,
        share_ratio,
        dividend_amount,
        dividend_yield,
        ex_date,
        reported_at
    from {{ ref('int_corporate_actions__reconciled') }}

),

restatements as (

    select
        symbol,
        source_id,
        kind,
        price_ratio,
        price_difference,
        ex_date,
        detected_at
    from {{ ref('fct_price_restatements') }}
    where kind in ('share_event', 'dividend') and ex_date is not null

),

-- The sources rewrite their pasts at different times; the first to do so says how.
first_restatements as (

    select * from restatements
    qualify
        row_number() over (
            partition by symbol, kind, ex_date
            order by detected_at, source_id
        ) = 1

),

restating_sources as (

    select
        symbol,
        kind,
        string_agg(distinct source_id, ',' order by source_id) as source_ids,
        ex_date
    from restatements
    group by symbol, kind, ex_date

),

inferred as (

    select
        first_restatements.symbol,
        first_restatements.kind,
        restating_sources.source_ids,
        first_restatements.price_ratio,
        first_restatements.price_difference,
        first_restatements.ex_date,
        first_restatements.detected_at
    from first_restatements
    inner join restating_sources
        on
            first_restatements.symbol = restating_sources.symbol
            and first_restatements.kind = restating_sources.kind
            and first_restatements.ex_date = restating_sources.ex_date

),

-- A restatement that comes late, or before the last bars are final, may miss the ex-date by days.
pairs as (

    select
        reported.symbol,
        reported.kind,
        reported.ex_date,
        inferred.ex_date as inferred_ex_date
    from reported
    inner join inferred
        on
            reported.symbol = inferred.symbol
            and reported.kind = inferred.kind
            and abs(date_diff(reported.ex_date, inferred.ex_date, day)) <= 5
    qualify
        row_number() over (
            partition by inferred.symbol, inferred.kind, inferred.ex_date
            order by abs(date_diff(reported.ex_date, inferred.ex_date, day)), reported.ex_date
        ) = 1
        and row_number() over (
            partition by reported.symbol, reported.kind, reported.ex_date
            order by abs(date_diff(reported.ex_date, inferred.ex_date, day)), inferred.ex_date
        ) = 1

),

known as (

    select
        reported.symbol,
        reported.kind,
        reported.source_id as reported_by,
        reported.share_ratio,
        reported.dividend_amount,
        reported.dividend_yield,
        reported.ex_date,
        pairs.inferred_ex_date,
        reported.reported_at
    from reported
    left join pairs
        on
            reported.symbol = pairs.symbol
            and reported.kind = pairs.kind
            and reported.ex_date = pairs.ex_date

    union all

    select
        inferred.symbol,
        inferred.kind,
        cast(null as string) as reported_by,
        cast(null as float64) as share_ratio,
        cast(null as numeric) as dividend_amount,
        cast(null as float64) as dividend_yield,
        inferred.ex_date,
        inferred.ex_date as inferred_ex_date,
        cast(null as timestamp) as reported_at
    from inferred
    left join pairs
        on
            inferred.symbol = pairs.symbol
            and inferred.kind = pairs.kind
            and inferred.ex_date = pairs.inferred_ex_date
    where pairs.symbol is null

),

described as (

    select
        known.symbol,
        known.kind,
        known.reported_by,
        inferred.source_ids as inferred_from,
        coalesce(
            known.share_ratio, if(known.kind = 'share_event', 1 / inferred.price_ratio, null)
        ) as share_ratio,
        coalesce(known.dividend_amount, -inferred.price_difference) as dividend_amount,
        known.dividend_yield,
        inferred.price_ratio,
        known.ex_date,
        known.reported_at,
        inferred.detected_at
    from known
    left join inferred
        on
            known.symbol = inferred.symbol
            and known.kind = inferred.kind
            and known.inferred_ex_date = inferred.ex_date

)

select * from described
