with

bars as (

    select
        symbol,
        source_id,
        failed_checks,
        inapplicable_checks,
        passed_weight,
        applicable_weight,
        is_provisional,
        is_valid,
        trade_date
    from {{ ref('fct_daily_bars') }}

),

-- What is expected begins with the history that was asked for: with the first bar of any symbol.
history as (

    select min(trade_date) as first_trade_date from bars
    where is_valid

),

trading_sessions as (

    select sessions.trade_date
    from {{ ref('dim_trading_sessions') }} as sessions
    inner join history
        on sessions.trade_date >= history.first_trade_date
    where sessions.closes_at <= current_timestamp()

),

instruments as (

    select
        symbol,
        listed_on,
        delisted_on
    from {{ ref('dim_instruments') }}

),

expected_bars as (

    select
        instruments.symbol,
        trading_sessions.trade_date
    from trading_sessions
    inner join instruments
        on
            trading_sessions.trade_date >= coalesce(instruments.listed_on, date '1900-01-01')
            and trading_sessions.trade_date <= coalesce(instruments.delisted_on, date '9999-12-31')

),

presence_check as (

    select weight from {{ ref('quality_checks') }}
    where check_id = 'is_present'

),

matched as (

    select
        coalesce(expected_bars.symbol, bars.symbol) as symbol,
        bars.source_id,
        bars.failed_checks,
        bars.inapplicable_checks,
        coalesce(bars.passed_weight, 0) as passed_weight,
        coalesce(bars.applicable_weight, presence_check.weight) as applicable_weight,
        expected_bars.symbol is not null as is_expected,
        bars.symbol is not null as is_present,
        coalesce(bars.is_valid, false) as is_valid,
        coalesce(bars.is_provisional, false) as is_provisional,
        coalesce(expected_bars.trade_date, bars.trade_date) as trade_date
    from expected_bars
    full outer join bars
        on
            expected_bars.symbol = bars.symbol
            and expected_bars.trade_date = bars.trade_date
    cross join presence_check

)

select * from matched
