{{ config(tags=['actions'], cluster_by=['symbol']) }}

with

traded as (

    select * from {{ ref('int_symbols__traded') }}

),

share_factors as (

    select * from {{ ref('int_share_factors') }}

),

-- An action after the latest session of a share does not change any of its prices yet.
dividends as (

    select
        dividends.symbol,
        ln(1 - dividends.dividend_yield) as dividend_exponent,
        dividends.ex_date
    from {{ ref('int_dividends__reconciled') }} as dividends
    inner join traded
        on
            dividends.symbol = traded.symbol
            and dividends.ex_date <= traded.latest_session
    where dividends.dividend_yield is not null

),

-- A stretch of days begins with an ex-date; the first one has no beginning.
beginnings as (

    select
        share_factors.symbol,
        share_factors.valid_from
    from share_factors
    inner join traded
        on
            share_factors.symbol = traded.symbol
            and share_factors.valid_from <= traded.latest_session

    union distinct

    select
        symbol,
        ex_date as valid_from
    from dividends

    union distinct

    select
        symbol,
        date '0001-01-01' as valid_from
    from dividends

),

-- In shares of the latest session, so an announced split does not count.
with_share_factors as (

    select
        beginnings.symbol,
        coalesce(at_beginning.share_factor / at_latest.share_factor, 1) as share_factor,
        beginnings.valid_from
    from beginnings
    inner join traded
        on beginnings.symbol = traded.symbol
    left join share_factors as at_beginning
        on
            beginnings.symbol = at_beginning.symbol
            and beginnings.valid_from >= at_beginning.valid_from
            and beginnings.valid_from < at_beginning.valid_to
    left join share_factors as at_latest
        on
            traded.symbol = at_latest.symbol
            and traded.latest_session >= at_latest.valid_from
            and traded.latest_session < at_latest.valid_to

),

accumulated as (

    select
        factors.symbol,
        round(any_value(factors.share_factor), 10) as share_factor,
        round(exp(coalesce(sum(dividends.dividend_exponent), 0)), 10) as dividend_factor,
        factors.valid_from
    from with_share_factors as factors
    left join dividends
        on
            factors.symbol = dividends.symbol
            and factors.valid_from < dividends.ex_date
    group by factors.symbol, factors.valid_from

),

bounded as (

    select
        *,
        lead(valid_from, 1, date '9999-12-31') over (
            partition by symbol
            order by valid_from
        ) as valid_to
    from accumulated

)

select * from bounded
