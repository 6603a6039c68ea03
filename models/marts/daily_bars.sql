{{ config(materialized='view') }}

with

bars as (

    select * from {{ ref('fct_daily_bars') }}
    where is_valid

),

adjustment_factors as (

    select * from {{ ref('fct_adjustment_factors') }}

),

adjusted as (

    select
        bars.symbol,
        bars.instrument_id,
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
        bars.previous_close,
        cast(bars.close as float64) / cast(bars.previous_close as float64) - 1 as daily_return,
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

)

select * from adjusted
