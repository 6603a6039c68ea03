-- A table, because its reader joins it many times.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

share_factors as (

    select * from {{ ref('int_share_factors') }}

),

reports as (

    select
        symbol,
        source_id,
        subject,
        if(dividend_amount > 0, dividend_amount, null) as reported_amount,
        ex_date,
        {{ day_of_receipt('known_from') }} as known_on,
        extracted_at
    from {{ ref('int_corporate_actions__reported') }}
    where kind = 'dividend' and not is_withdrawn

),

-- A company announces its dividend in rupees per share held before the ex-date, and so does the
-- exchange, even if a bonus has the same ex-date (UNOMINDA, 2022-07-07). Yahoo divides an amount by
-- the later splits, and in 10 of 16 such cases also by the one of the same day (TCS, 2018-05-31:
-- 14.50 for 29).
in_shares_before as (

    select
        reports.symbol,
        reports.source_id,
        reports.subject,
        reports.reported_amount,
        if(
            reports.source_id = 'nse',
            cast(reports.reported_amount as float64),
            cast(reports.reported_amount as float64)
            * coalesce(at_report.share_factor / day_before.share_factor, 1)
        ) as amount,
        coalesce(at_ex_date.share_factor / day_before.share_factor, 1) as same_day_ratio,
        coalesce(at_report.share_factor / at_ex_date.share_factor, 1) as later_ratio,
        coalesce(day_before.share_factor, 1) as share_factor_before,
        reports.ex_date,
        reports.extracted_at
    from reports
    left join share_factors as at_report
        on
            reports.symbol = at_report.symbol
            and reports.known_on >= at_report.valid_from
            and reports.known_on < at_report.valid_to
    left join share_factors as day_before
        on
            reports.symbol = day_before.symbol
            and reports.ex_date > day_before.valid_from
            and reports.ex_date <= day_before.valid_to
    left join share_factors as at_ex_date
        on
            reports.symbol = at_ex_date.symbol
            and reports.ex_date >= at_ex_date.valid_from
            and reports.ex_date < at_ex_date.valid_to

),

-- Yahoo reports some dividends twice, a day or a few apart (LT 2023-08-01 and 02); of a hundred
-- such pairs, the first day was right in half. Sometimes one of the two is in rupees of other
-- shares (TATASTEEL, 2022-06-15 and 16: 5.1 and 51). Different amounts on neighbouring days are two
-- dividends (ABBOTINDIA, 2023-07-20 and 21: 145 and 180).
repeats as (

    select
        repeated.symbol,
        repeated.ex_date
    from in_shares_before as repeated
    inner join in_shares_before as original
        on
            repeated.symbol = original.symbol
            and abs(date_diff(repeated.ex_date, original.ex_date, day)) between 1 and 6
    where
        repeated.source_id = 'yahoo'
        and original.source_id = 'yahoo'
        and (
            (
                repeated.later_ratio > 1
                and abs(repeated.amount / original.amount / repeated.later_ratio - 1) <= 0.001
            )
            or (
                repeated.ex_date > original.ex_date
                and abs(repeated.amount / original.amount - 1) <= 0.001
            )
        )
    group by repeated.symbol, repeated.ex_date

),

converted as (

    select
        in_shares_before.symbol,
        in_shares_before.source_id,
        in_shares_before.subject,
        in_shares_before.reported_amount,
        in_shares_before.amount,
        in_shares_before.same_day_ratio,
        in_shares_before.share_factor_before,
        in_shares_before.ex_date,
        in_shares_before.extracted_at
    from in_shares_before
    left join repeats
        on
            in_shares_before.symbol = repeats.symbol
            and in_shares_before.ex_date = repeats.ex_date
            and in_shares_before.source_id = 'yahoo'
    where repeats.symbol is null

)

select * from converted
