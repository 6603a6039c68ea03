with

bars as (

    select * from {{ ref('int_expected_bars__matched') }}

),

scored as (

    select
        symbol,
        countif(is_expected) as expected_bar_count,
        countif(is_expected and not is_present) as missing_bar_count,
        countif(is_valid) as valid_bar_count,
        countif(is_present and not is_valid) as invalid_bar_count,
        countif(is_provisional) as provisional_bar_count,
        round(100 * avg(score), 2) as quality_score,
        min(trade_date) as first_trade_date,
        max(trade_date) as last_trade_date
    from bars
    group by symbol

)

select * from scored
