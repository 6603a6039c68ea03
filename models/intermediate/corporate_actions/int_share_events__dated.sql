-- A table, because the next model reads it several times.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

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

-- The exchange's ex-date is the official one; Yahoo's may differ by days.
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

-- Yahoo reports some events twice (UNOMINDA 2022-06-09 and 2022-07-07, LODHA 2023-05-26 and 31).
-- The report that matches the exchange's, or else the later one, is the real event.
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

dated as (

    select
        coalesce(official.symbol, by_yahoo.symbol) as symbol,
        official.subject,
        official.share_ratio as official_ratio,
        by_yahoo.share_ratio as yahoo_ratio,
        official.symbol is not null as is_official,
        coalesce(official.is_withdrawn, false) as is_withdrawn,
        by_yahoo.symbol is not null as is_by_yahoo,
        yahoo_repeats.symbol is not null as is_repeat,
        coalesce(official.ex_date, by_yahoo.ex_date) as ex_date,
        greatest(
            coalesce(official.extracted_at, by_yahoo.extracted_at),
            coalesce(by_yahoo.extracted_at, official.extracted_at)
        ) as reported_at
    from official
    full outer join by_yahoo
        on official.symbol = by_yahoo.symbol and official.ex_date = by_yahoo.ex_date
    left join yahoo_repeats
        on by_yahoo.symbol = yahoo_repeats.symbol and by_yahoo.ex_date = yahoo_repeats.ex_date
    -- If two reports of Yahoo are near one of the exchange's, the nearer one counts.
    qualify
        row_number() over (
            partition by
                coalesce(official.symbol, by_yahoo.symbol),
                coalesce(official.ex_date, by_yahoo.ex_date)
            order by
                abs(date_diff(by_yahoo.reported_ex_date, by_yahoo.ex_date, day)) asc,
                by_yahoo.reported_ex_date asc
        ) = 1

)

select * from dated
