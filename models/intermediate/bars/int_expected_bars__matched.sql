with

checks as (

    select
        sum(if(check_id = 'is_final', weight, 0)) as is_final_weight,
        sum(if(check_id = 'is_from_primary', weight, 0)) as is_from_primary_weight
    from {{ ref('quality_checks') }}

),

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

-- Bars are expected from the first valid bar of any symbol on, where the requested history begins.
-- The primary source is expected only from its own first bar on, because it is not asked without a
-- key. The first days are read from the counts, so that a filter on the trade date leaves out the
-- old bars.
history as (

    select
        min(if(valid_record_count > 0, trade_date, null)) as first_trade_date,
        min(if(primary_record_count > 0, trade_date, null)) as first_primary_date
    from {{ ref('int_bars__counted') }}

),

-- It matters only for a session that closed less than {{ var('late_after_hours') }} hours ago.
last_bar as (

    select max(trade_date) as trade_date from {{ ref('fct_daily_bars') }}
    where
        is_valid
        and trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)

),

trading_sessions as (

    select sessions.trade_date
    from {{ ref('dim_trading_sessions') }} as sessions
    inner join history
        on sessions.trade_date >= history.first_trade_date
    cross join last_bar
    -- The bars of a session are expected once its run should have ended, or once one of them
    -- is here.
    where
        sessions.closes_at <= timestamp_sub(
            current_timestamp(), interval {{ var('late_after_hours') }} hour
        )
        or (
            sessions.closes_at <= current_timestamp()
            and sessions.trade_date <= last_bar.trade_date
        )

),

instruments as (

    select
        symbol,
        listed_on,
        delisted_on
    from {{ ref('dim_instruments') }}
    where is_expected

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

-- Both sides under each other and grouped, and not a full outer join: a filter on the trade date
-- passes a group's keys, and reaches the table of bars.
both_sides as (

    select
        symbol,
        cast(null as string) as source_id,
        cast(null as array<string>) as failed_checks,
        cast(null as array<string>) as inapplicable_checks,
        cast(null as int64) as passed_weight,
        cast(null as int64) as applicable_weight,
        true as is_expected,
        false as is_present,
        false as is_valid,
        false as is_provisional,
        trade_date
    from expected_bars

    union all

    select
        symbol,
        source_id,
        failed_checks,
        inapplicable_checks,
        passed_weight,
        applicable_weight,
        false as is_expected,
        true as is_present,
        is_valid,
        is_provisional,
        trade_date
    from bars

),

-- Each side has one row at most. What a bar tells is taken from the bar's row.
matched as (

    select
        symbol,
        any_value(source_id having max is_present) as source_id,
        any_value(failed_checks having max is_present) as failed_checks,
        any_value(inapplicable_checks having max is_present) as inapplicable_checks,
        any_value(passed_weight having max is_present) as passed_weight,
        any_value(applicable_weight having max is_present) as applicable_weight,
        logical_or(is_expected) as is_expected,
        logical_or(is_present) as is_present,
        logical_or(is_valid) as is_valid,
        logical_or(is_provisional) as is_provisional,
        -- The morning's run replaces the evening's bars: from 08:00 IST on, providers have final
        -- ones.
        current_timestamp() < timestamp_add(
            timestamp(
                datetime(date_add(trade_date, interval 1 day), time '08:00:00'), 'Asia/Kolkata'
            ),
            interval {{ var('late_after_hours') }} hour
        ) as is_of_last_evening,
        trade_date
    from both_sides
    group by symbol, trade_date

),

-- A failed check is not counted while its result cannot be known: is_final on the evening of the
-- session, and is_from_primary on that evening and before the primary source was first asked.
with_unknown as (

    select
        matched.*,
        if(
            matched.is_of_last_evening and 'is_final' in unnest(matched.failed_checks),
            checks.is_final_weight,
            0
        )
        + if(
            'is_from_primary' in unnest(matched.failed_checks)
            and (
                matched.is_of_last_evening
                or coalesce(matched.trade_date < history.first_primary_date, true)
            ),
            checks.is_from_primary_weight,
            0
        ) as unknown_weight
    from matched
    cross join checks
    cross join history

),

scored as (

    select
        symbol,
        source_id,
        failed_checks,
        inapplicable_checks,
        is_expected,
        is_present,
        is_valid,
        is_provisional,
        -- An absent bar and an invalid one both score 0.
        case
            when is_expected and is_valid
                then passed_weight / (applicable_weight - unknown_weight)
            when is_expected then 0
        end as score,
        trade_date
    from with_unknown

)

select * from scored
