with

trading_sessions as (

    select
        session_number,
        trade_date,
        closes_at
    from {{ ref('dim_trading_sessions') }}

),

due_session as (

    select
        max(session_number) as session_number,
        max(trade_date) as trade_date
    from trading_sessions
    where closes_at <= current_timestamp()

),

instruments as (

    select count(*) as instrument_count from {{ ref('dim_instruments') }}
    where coalesce(delisted_on, date '9999-12-31') >= current_date('Asia/Kolkata')

),

bars as (

    select
        count(*) as record_count,
        count(distinct symbol) as symbol_count,
        countif(is_valid) as valid_record_count,
        countif('is_reconciled' in unnest(failed_checks)) as unreconciled_record_count,
        max(if(is_valid, trade_date, null)) as latest_trade_date
    from {{ ref('fct_daily_bars') }}

),

latest_session as (

    select
        countif(expected_bars.is_valid) as valid_record_count,
        countif(expected_bars.is_provisional) as provisional_record_count,
        countif(
            expected_bars.is_valid and 'is_from_primary' in unnest(expected_bars.failed_checks)
        ) as fallback_record_count,
        array_agg(
            if(expected_bars.is_valid, null, expected_bars.symbol) ignore nulls
            order by expected_bars.symbol
        ) as unserved_symbols,
        round(
            100 * sum(expected_bars.passed_weight) / sum(expected_bars.applicable_weight), 2
        ) as quality_score
    from {{ ref('int_expected_bars__matched') }} as expected_bars
    inner join bars
        on expected_bars.trade_date = bars.latest_trade_date

),

overall as (

    select round(100 * sum(passed_weight) / sum(applicable_weight), 2) as quality_score
    from {{ ref('int_expected_bars__matched') }}

),

recent_sessions as (

    select
        source_id,
        is_lacking,
        is_repeated,
        is_overdue
    from {{ ref('quality_source_sessions') }}
    where trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)

),

-- One session may still be on its way from a source.
stale_sources as (

    select source_id from recent_sessions
    where is_lacking
    group by source_id
    having count(*) > 1

),

source_summary as (

    select
        array_agg(stale_sources.source_id ignore nulls order by stale_sources.source_id)
            as stale_sources
    from stale_sources

),

session_summary as (

    select
        countif(is_repeated) as repeated_session_count,
        countif(is_overdue) as overdue_session_count
    from recent_sessions

),

unknown_symbols as (

    select array_agg(distinct symbol order by symbol) as unknown_symbols
    from {{ ref('int_bars__compared') }}
    where instrument_id is null

),

described as (

    select
        latest_session.unserved_symbols,
        source_summary.stale_sources,
        unknown_symbols.unknown_symbols,
        instruments.instrument_count,
        bars.symbol_count,
        bars.record_count,
        bars.valid_record_count,
        bars.unreconciled_record_count,
        latest_session.valid_record_count as latest_valid_record_count,
        latest_session.provisional_record_count as latest_provisional_record_count,
        latest_session.fallback_record_count as latest_fallback_record_count,
        session_summary.repeated_session_count,
        session_summary.overdue_session_count,
        due_session.session_number - latest.session_number as sessions_behind,
        latest_session.quality_score as latest_quality_score,
        overall.quality_score,
        bars.latest_trade_date,
        due_session.trade_date as due_trade_date,
        date '{{ var("calendar_end") }}' as calendar_ends_on
    from bars
    cross join instruments
    cross join due_session
    cross join latest_session
    cross join overall
    cross join unknown_symbols
    cross join source_summary
    cross join session_summary
    left join trading_sessions as latest
        on bars.latest_trade_date = latest.trade_date

)

select * from described
