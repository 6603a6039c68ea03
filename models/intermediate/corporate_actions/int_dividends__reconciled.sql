-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

reports as (

    select * from {{ ref('int_dividends__converted') }}

),

share_factors as (

    select * from {{ ref('int_share_factors') }}

),

by_yahoo as (

    select * from reports
    where source_id = 'yahoo'

),

official as (

    select * from reports
    where source_id = 'nse'

),

-- The exchange's ex-date is the official one. Its list may have one dividend where Yahoo has two,
-- or two where Yahoo has one.
near_yahoo as (

    select
        official.symbol,
        official.ex_date,
        sum(by_yahoo.amount) as amount_sum,
        array_agg(
            struct(
                by_yahoo.amount as amount,
                by_yahoo.reported_amount as reported_amount,
                by_yahoo.same_day_ratio as same_day_ratio
            )
            order by
                abs(date_diff(by_yahoo.ex_date, official.ex_date, day)) asc, by_yahoo.ex_date asc
            limit 1
        )[safe_offset(0)] as nearest
    from official
    inner join by_yahoo
        on
            official.symbol = by_yahoo.symbol
            and abs(date_diff(by_yahoo.ex_date, official.ex_date, day)) <= 5
    group by official.symbol, official.ex_date

),

superseded as (

    select
        by_yahoo.symbol,
        by_yahoo.ex_date
    from by_yahoo
    inner join official
        on
            by_yahoo.symbol = official.symbol
            and abs(date_diff(by_yahoo.ex_date, official.ex_date, day)) <= 5
    group by by_yahoo.symbol, by_yahoo.ex_date

),

paired as (

    select
        official.symbol,
        official.subject,
        official.reported_amount as official_reported_amount,
        near_yahoo.nearest.reported_amount as yahoo_reported_amount,
        official.amount as official_amount,
        near_yahoo.nearest.amount as yahoo_amount,
        abs(official.amount / near_yahoo.nearest.amount - 1) <= 0.02
        or abs(official.amount / near_yahoo.amount_sum - 1) <= 0.02
        or abs(
            official.amount
            / (near_yahoo.nearest.amount / near_yahoo.nearest.same_day_ratio)
            - 1
        ) <= 0.02 as is_agreed,
        official.share_factor_before,
        true as is_official,
        official.ex_date,
        official.extracted_at
    from official
    left join near_yahoo
        on official.symbol = near_yahoo.symbol and official.ex_date = near_yahoo.ex_date

    union all

    select
        by_yahoo.symbol,
        by_yahoo.subject,
        cast(null as numeric) as official_reported_amount,
        by_yahoo.reported_amount as yahoo_reported_amount,
        cast(null as float64) as official_amount,
        by_yahoo.amount as yahoo_amount,
        cast(null as bool) as is_agreed,
        by_yahoo.share_factor_before,
        false as is_official,
        by_yahoo.ex_date,
        by_yahoo.extracted_at
    from by_yahoo
    left join superseded
        on by_yahoo.symbol = superseded.symbol and by_yahoo.ex_date = superseded.ex_date
    where superseded.symbol is null

),

priced as (

    select
        paired.*,
        priced.close_source_id,
        priced.may_lack_dividends,
        cast(priced.close_before as float64)
        * coalesce(break_factors.break_factor, 1)
        * coalesce(at_receipt.share_factor, 1)
        / paired.share_factor_before as close_before,
        priced.close_known_on,
        traded.latest_session
    from paired
    left join {{ ref('int_dividends__priced') }} as priced
        on paired.symbol = priced.symbol and paired.ex_date = priced.ex_date
    left join share_factors as at_receipt
        on
            priced.symbol = at_receipt.symbol
            and priced.close_known_on >= at_receipt.valid_from
            and priced.close_known_on < at_receipt.valid_to
    -- The close is from the days before the ex-date.
    left join {{ ref('int_break_factors') }} as break_factors
        on
            priced.symbol = break_factors.symbol
            and priced.close_source_id = break_factors.source_id
            and priced.ex_date > break_factors.valid_from
            and priced.ex_date <= break_factors.valid_to
            and priced.close_known_on >= break_factors.known_from
    left join {{ ref('int_symbols__traded') }} as traded
        on paired.symbol = traded.symbol

),

-- A misread amount is often a year, or the number of a dividend (2,023 for 5).
chosen as (

    select
        *,
        case
            when official_amount is null then yahoo_amount
            when
                not is_agreed
                and official_amount > 0.2 * close_before
                and yahoo_amount < 0.2 * close_before
                then yahoo_amount
            else official_amount
        end as amount
    from priced

),

rules as (

    select
        first_ex_date,
        minimum_yield,
        method,
        lead(first_ex_date, 1, date '9999-12-31')
            over (order by first_ex_date)
            as next_first_ex_date
    from {{ ref('kite_dividend_rules') }}

),

-- Only for closes of Kite that were received on the ex-date or later: Kite has lowered them by this
-- dividend and by later ones. With K the close as sent and P the close as traded, a dividend D that
-- is subtracted gives K = P - D; for those that are multiplied, P = K x (1 + the sum of D / K).
put_back as (

    select
        lowered.symbol,
        lowered.ex_date,
        sum(
            if(
                rules.method = 'multiply',
                lowered.close_before * later.amount / later.close_before,
                later.amount * later.share_factor_before / lowered.share_factor_before
            )
        ) as amount
    from chosen as lowered
    inner join chosen as later
        on
            lowered.symbol = later.symbol
            and lowered.ex_date <= later.ex_date
            and lowered.close_known_on >= later.ex_date
    inner join rules
        on
            later.ex_date >= rules.first_ex_date
            and later.ex_date < rules.next_first_ex_date
            and later.amount >= rules.minimum_yield * (later.close_before + later.amount)
    where lowered.may_lack_dividends
    group by lowered.symbol, lowered.ex_date

),

sized as (

    select
        chosen.*,
        chosen.close_before + coalesce(put_back.amount, 0) as whole_close
    from chosen
    left join put_back
        on chosen.symbol = put_back.symbol and chosen.ex_date = put_back.ex_date

),

reconciled as (

    select
        symbol,
        if(amount = official_amount or yahoo_amount is null, 'nse', 'yahoo') as source_id,
        case
            when is_official and yahoo_amount is not null then 'nse,yahoo'
            when is_official then 'nse'
            else 'yahoo'
        end as reported_by,
        case
            when amount is null then 'unreadable'
            when coalesce(ex_date > latest_session, true) then 'announced'
            when amount > 0.9 * whole_close then 'contradicted'
            when not is_agreed then 'contradicted'
            when is_agreed then 'confirmed'
            else 'reported'
        end as status,
        case
            when amount is null then 'No number can be read in what the exchange writes.'
            when coalesce(ex_date > latest_session, true)
                then 'The ex-date is after the latest session, and no price is adjusted yet.'
            when amount > 0.9 * whole_close
                then 'The amount is more than 90 % of the last close, so it is not used.'
            when is_agreed then 'The exchange and Yahoo agree on the amount.'
            when not is_agreed and amount = official_amount
                then
                    concat(
                        'The exchange reports this amount, Yahoo ',
                        cast(round(yahoo_amount, 4) as string),
                        '.'
                    )
            when not is_agreed
                then
                    concat(
                        'Yahoo reports this amount. The record of the exchange reads as ',
                        cast(round(official_amount, 4) as string),
                        ', more than a fifth of the close.'
                    )
            when official_amount is not null then 'Only the exchange reports it.'
            when is_official
                then 'Yahoo reports the amount. None can be read in the record of the exchange.'
            else 'Only Yahoo reports it.'
        end as status_reason,
        subject,
        close_source_id,
        if(
            coalesce(amount = official_amount, false),
            official_reported_amount,
            yahoo_reported_amount
        ) as reported_amount,
        round(amount, 6) as dividend_amount,
        -- No dividend is nearly as large as the price: such a report is an error.
        if(
            amount <= 0.9 * whole_close, round(amount / whole_close, 8), null
        ) as dividend_yield,
        share_factor_before,
        coalesce(may_lack_dividends, false) as is_yield_approximate,
        ex_date,
        extracted_at as reported_at
    from sized

)

select * from reconciled
