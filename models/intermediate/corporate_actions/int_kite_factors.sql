-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

judged as (

    select
        symbol,
        method,
        factor,
        ex_date,
        known_on
    from {{ ref('int_kite_dividends__judged') }}

),

traded as (

    select
        traded.symbol,
        coalesce(share_factors.share_factor, 1) as share_factor
    from {{ ref('int_symbols__traded') }} as traded
    left join {{ ref('int_share_factors') }} as share_factors
        on
            traded.symbol = share_factors.symbol
            and traded.latest_session >= share_factors.valid_from
            and traded.latest_session < share_factors.valid_to

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

by_rule as (

    select
        dividends.symbol,
        rules.method,
        dividends.ex_date
    from {{ ref('int_dividends__reconciled') }} as dividends
    inner join rules
        on
            dividends.ex_date >= rules.first_ex_date
            and dividends.ex_date < rules.next_first_ex_date
            and dividends.dividend_yield >= rules.minimum_yield

),

judged_dividends as (

    select
        symbol,
        ex_date
    from judged
    group by symbol, ex_date

),

-- The dividends that Kite may have taken out, in rupees per share of the latest session.
dividends as (

    select
        dividends.symbol,
        dividends.dividend_amount * dividends.share_factor_before / traded.share_factor as amount,
        dividends.dividend_yield,
        by_rule.method as method_by_rule,
        dividends.ex_date
    from {{ ref('int_dividends__reconciled') }} as dividends
    inner join traded
        on dividends.symbol = traded.symbol
    left join by_rule
        on dividends.symbol = by_rule.symbol and dividends.ex_date = by_rule.ex_date
    left join judged_dividends
        on
            dividends.symbol = judged_dividends.symbol
            and dividends.ex_date = judged_dividends.ex_date
    where by_rule.symbol is not null or judged_dividends.symbol is not null

),

-- Kite's past prices change at each ex-date, and may change at each fetch.
days as (

    select
        symbol,
        ex_date as known_from
    from dividends

    union distinct

    select
        symbol,
        known_on as known_from
    from judged

),

stretches_of_receipt as (

    select
        symbol,
        known_from,
        lead(known_from, 1, date '9999-12-31') over (
            partition by symbol
            order by known_from
        ) as known_to
    from days

),

-- The result of this fetch, or else of the last one before it, or else of the rule.
methods as (

    select
        stretches.symbol,
        dividends.amount,
        coalesce(judged.method, dividends.method_by_rule) as method,
        coalesce(judged.factor, 1 - dividends.dividend_yield) as factor,
        dividends.ex_date,
        stretches.known_from,
        stretches.known_to
    from stretches_of_receipt as stretches
    inner join dividends
        on
            stretches.symbol = dividends.symbol
            and stretches.known_from >= dividends.ex_date
    left join judged
        on
            dividends.symbol = judged.symbol
            and dividends.ex_date = judged.ex_date
            and stretches.known_from >= judged.known_on
    qualify
        row_number() over (
            partition by stretches.symbol, stretches.known_from, dividends.ex_date
            order by judged.known_on desc
        ) = 1

),

taken_out as (

    select
        symbol,
        if(method = 'subtract', amount, 0) as amount,
        if(method = 'multiply', ln(factor), 0) as exponent,
        ex_date,
        known_from,
        known_to
    from methods
    where method in ('subtract', 'multiply')

),

-- A stretch of days ends with an ex-date; the first one has no beginning.
stretches as (

    select
        symbol,
        lag(ex_date, 1, date '0001-01-01') over (
            partition by symbol, known_from
            order by ex_date
        ) as valid_from,
        ex_date as valid_to,
        known_from,
        known_to
    from taken_out

),

accumulated as (

    select
        stretches.symbol,
        round(exp(sum(taken_out.exponent)), 10) as kite_dividend_factor,
        round(sum(taken_out.amount), 6) as kite_dividend_amount,
        stretches.valid_from,
        stretches.valid_to,
        stretches.known_from,
        stretches.known_to
    from stretches
    inner join taken_out
        on
            stretches.symbol = taken_out.symbol
            and stretches.known_from = taken_out.known_from
            and stretches.valid_to <= taken_out.ex_date
    group by
        stretches.symbol,
        stretches.valid_from,
        stretches.valid_to,
        stretches.known_from,
        stretches.known_to

)

select * from accumulated
