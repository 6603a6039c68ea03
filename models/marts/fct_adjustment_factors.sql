{{ config(tags=['windowed'], cluster_by=['symbol']) }}

with

corporate_actions as (

    select
        symbol,
        ln(coalesce(1 / share_ratio, 1)) as share_exponent,
        ln(1 - coalesce(dividend_yield, 0)) as dividend_exponent,
        if(kite_method = 'multiply', ln(1 - dividend_yield), 0) as kite_exponent,
        if(kite_method = 'subtract', current_dividend, 0) as kite_amount,
        ex_date
    from {{ ref('int_corporate_actions__reconciled') }}

),

-- A stretch of days begins with an ex-date; the first one has no beginning.
beginnings as (

    select
        symbol,
        ex_date as valid_from
    from corporate_actions
    group by symbol, ex_date

    union all

    select
        symbol,
        date '0001-01-01' as valid_from
    from corporate_actions
    group by symbol

),

accumulated as (

    select
        beginnings.symbol,
        round(
            exp(
                coalesce(
                    sum(corporate_actions.share_exponent), 0
                )
            ),
            10
        ) as share_factor,
        round(exp(coalesce(sum(corporate_actions.dividend_exponent), 0)), 10) as dividend_factor,
        round(exp(coalesce(sum(corporate_actions.kite_exponent), 0)), 10) as kite_dividend_factor,
        round(coalesce(sum(corporate_actions.kite_amount), 0), 6) as kite_dividend_amount,
        beginnings.valid_from
    from beginnings
    left join corporate_actions
        on
            beginnings.symbol = corporate_actions.symbol
            and beginnings.valid_from < corporate_actions.ex_date
    group by beginnings.symbol, beginnings.valid_from

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
