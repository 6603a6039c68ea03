{{ config(materialized='table', tags=['windowed', 'actions']) }}

with

-- A merge never deletes: of what was sized, that counts which is still reported.
sized as (

    select
        sized.*,
        {{ day_of_receipt('sized.known_from') }} as known_on,
        {{ day_of_receipt('sized.close_known_from') }} as close_known_on,
        coalesce(sized.share_ratio, cast(sized.dividend_amount as float64)) as amount
    from {{ ref('int_corporate_actions__sized') }} as sized
    inner join {{ ref('int_corporate_actions__reported') }} as reports
        on
            sized.symbol = reports.symbol
            and sized.source_id = reports.source_id
            and sized.kind = reports.kind
            and sized.ex_date = reports.ex_date

),

-- Yahoo reports an action twice, a day or a few apart (LT 2023-08-01 and 02): of a hundred, half
-- were right the first time. Now and then one is in the rupees of other shares (TATASTEEL,
-- 2022-06-15 and 16: 5.1 and 51). Two dividends of different amounts on neighbouring days are two
-- (ABBOTINDIA, 2023-07-20 and 21: 145 and 180).
repeats as (

    select
        repeated.symbol,
        repeated.source_id,
        repeated.kind,
        repeated.ex_date
    from sized as repeated
    inner join sized as original
        on
            repeated.symbol = original.symbol
            and repeated.source_id = original.source_id
            and repeated.kind = original.kind
            and abs(date_diff(repeated.ex_date, original.ex_date, day)) between 1 and 6
    left join sized as splits
        on
            repeated.symbol = splits.symbol
            and repeated.kind = 'dividend'
            and splits.kind = 'share_event'
            and repeated.ex_date < splits.ex_date
            and abs(repeated.amount / original.amount - splits.share_ratio)
            <= 0.001 * splits.share_ratio
    where
        splits.symbol is not null
        or (
            repeated.ex_date > original.ex_date
            and abs(repeated.amount - original.amount) <= 0.001 * original.amount
        )
    group by repeated.symbol, repeated.source_id, repeated.kind, repeated.ex_date

),

-- The exchange's own ex-date and amount are the official ones.
superseded as (

    select
        sized.symbol,
        sized.source_id,
        sized.kind,
        sized.ex_date
    from sized
    inner join sized as official
        on
            sized.symbol = official.symbol
            and sized.kind = official.kind
            and sized.source_id != official.source_id
            and abs(date_diff(sized.ex_date, official.ex_date, day)) <= 5
    where official.source_id = 'nse'
    group by sized.symbol, sized.source_id, sized.kind, sized.ex_date

),

reported as (

    select sized.*
    from sized
    left join superseded
        on
            sized.symbol = superseded.symbol
            and sized.source_id = superseded.source_id
            and sized.kind = superseded.kind
            and sized.ex_date = superseded.ex_date
    left join repeats
        on
            sized.symbol = repeats.symbol
            and sized.source_id = repeats.source_id
            and sized.kind = repeats.kind
            and sized.ex_date = repeats.ex_date
    where repeats.symbol is null and superseded.symbol is null

),

share_events as (

    select
        symbol,
        share_ratio,
        ex_date
    from reported
    where kind = 'share_event'

),

-- What was first said before a later split is in rupees of the shares of that time.
rebased as (

    select
        reported.symbol,
        reported.source_id,
        reported.kind,
        reported.share_ratio,
        reported.dividend_amount,
        cast(reported.dividend_amount as float64)
        / exp(
            sum(if(share_events.ex_date > reported.known_on, ln(share_events.share_ratio), 0))
        ) as current_dividend,
        -- Kite may have lowered a close that it told after the ex-date.
        (
            cast(reported.close_before as float64)
            + if(
                reported.close_source_id = 'kite' and reported.close_known_on >= reported.ex_date,
                cast(coalesce(reported.dividend_amount, 0) as float64),
                0
            )
        )
        / exp(
            sum(
                if(
                    share_events.ex_date > reported.close_known_on,
                    ln(share_events.share_ratio),
                    0
                )
            )
        ) as current_close,
        reported.kite_step,
        reported.ex_date,
        reported.extracted_at as reported_at
    from reported
    left join share_events
        on reported.symbol = share_events.symbol
    group by
        reported.symbol,
        reported.source_id,
        reported.kind,
        reported.share_ratio,
        reported.dividend_amount,
        reported.close_before,
        reported.close_source_id,
        reported.close_known_on,
        reported.kite_step,
        reported.ex_date,
        reported.extracted_at

),

rules as (

    select
        first_ex_date,
        minimum_yield,
        method,
        lead(first_ex_date, 1, date '9999-12-31')
            over (order by first_ex_date)
            as next_first_ex_date
    from (
        select first_ex_date, minimum_yield, method from {{ ref('kite_dividend_rules') }}
        union all
        select date '0001-01-01', 1.0, cast(null as string)
    )

),

with_yields as (

    select
        *,
        -- No share pays out nearly all that it is worth: such a report is an error.
        if(
            current_dividend < 0.9 * current_close,
            round(current_dividend / current_close, 8),
            null
        ) as dividend_yield
    from rebased

),

-- BigQuery makes an outer join only where its condition has an equality.
rules_in_force as (

    select
        with_yields.symbol,
        with_yields.kind,
        with_yields.ex_date,
        any_value(rules.minimum_yield) as minimum_yield,
        any_value(rules.method) as method
    from with_yields
    inner join rules
        on
            with_yields.ex_date >= rules.first_ex_date
            and with_yields.ex_date < rules.next_first_ex_date
    where with_yields.kind = 'dividend'
    group by with_yields.symbol, with_yields.kind, with_yields.ex_date

),

reconciled as (

    select
        with_yields.symbol,
        with_yields.source_id,
        with_yields.kind,
        with_yields.share_ratio,
        with_yields.dividend_amount,
        round(with_yields.current_dividend, 6) as current_dividend,
        with_yields.dividend_yield,
        -- Kite goes by the price when the dividend was announced, which nobody tells: TATASTEEL's
        -- of 2024-06-21 was 1.98 % on the ex-date. Where its prices show what it did, they decide.
        case
            when with_yields.dividend_yield < 0.01 then null
            when
                abs(with_yields.kite_step - (1 - with_yields.dividend_yield))
                <= with_yields.dividend_yield / 4
                then rules_in_force.method
            when abs(with_yields.kite_step - 1) <= with_yields.dividend_yield / 4 then null
            when with_yields.dividend_yield >= rules_in_force.minimum_yield
                then rules_in_force.method
        end as kite_method,
        with_yields.ex_date,
        with_yields.reported_at
    from with_yields
    left join rules_in_force
        on
            with_yields.symbol = rules_in_force.symbol
            and with_yields.kind = rules_in_force.kind
            and with_yields.ex_date = rules_in_force.ex_date

)

select * from reconciled
