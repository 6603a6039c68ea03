{{ config(materialized='view') }}

with

bars as (

    select * from {{ ref('fct_daily_bars') }}
    where is_valid

),

adjustment_factors as (

    select * from {{ ref('fct_adjustment_factors') }}

),

instruments as (

    select
        instrument_id,
        isin,
        name
    from {{ ref('dim_instruments') }}

),

adjusted as (

    select
        bars.symbol,
        bars.instrument_id,
        instruments.isin,
        instruments.name,
        bars.source_id,
        bars.sector,
        bars.failed_checks,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        round(
            cast(
                cast(bars.close as float64)
                * coalesce(adjustment_factors.dividend_factor, 1) as numeric
            ),
            4
        ) as adjusted_close,
        round(
            cast(
                cast(bars.close as float64)
                / coalesce(adjustment_factors.share_factor, 1) as numeric
            ),
            2
        ) as traded_close,
        bars.previous_close,
        cast(bars.close as float64) / cast(bars.previous_close as float64) - 1 as daily_return,
        cast(bars.close as float64) * coalesce(adjustment_factors.dividend_factor, 1)
        / (
            cast(bars.previous_close as float64)
            * coalesce(previous_factors.dividend_factor, 1)
        ) - 1 as total_return,
        bars.volume,
        coalesce(adjustment_factors.share_factor, 1) as share_factor,
        coalesce(adjustment_factors.dividend_factor, 1) as dividend_factor,
        round(100 * bars.passed_weight / bars.applicable_weight, 1) as quality_score,
        bars.is_provisional,
        bars.trade_date,
        bars.extracted_at
    from bars
    left join adjustment_factors
        on
            bars.symbol = adjustment_factors.symbol
            and bars.trade_date >= adjustment_factors.valid_from
            and bars.trade_date < adjustment_factors.valid_to
    left join adjustment_factors as previous_factors
        on
            bars.symbol = previous_factors.symbol
            and bars.previous_trade_date >= previous_factors.valid_from
            and bars.previous_trade_date < previous_factors.valid_to
    left join instruments
        on bars.instrument_id = instruments.instrument_id

)

select * from adjusted
