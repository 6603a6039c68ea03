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
        max(trade_date) as trade_date,
        -- Its run is over.
        max(
            if(
                closes_at < timestamp_sub(
                    current_timestamp(), interval {{ var('late_after_hours') }} hour
                ),
                trade_date,
                null
            )
        ) as overdue_trade_date
    from trading_sessions
    where closes_at <= current_timestamp()

),

instruments as (

    select count(*) as instrument_count from {{ ref('dim_instruments') }}
    where
        is_expected
        and coalesce(delisted_on, date '9999-12-31') >= current_date('Asia/Kolkata')

),

bars as (

    select
        count(*) as record_count,
        count(distinct symbol) as symbol_count,
        countif(is_valid) as valid_record_count,
        countif(source_id = '{{ var('exchange_source') }}') as exchange_record_count,
        countif('is_reconciled' in unnest(failed_checks)) as unreconciled_record_count,
        -- A valid bar of a day to come cannot be, and would hide all that is missing until then.
        max(if(is_valid and trade_date <= current_date('Asia/Kolkata'), trade_date, null))
            as latest_trade_date
    from {{ ref('fct_daily_bars') }}

),

-- Assessed is the session that is due; on its evening, while it is on its way, still the one before
-- it.
sessions as (

    select
        bars.*,
        due_session.session_number as due_session_number,
        due_session.trade_date as due_trade_date,
        greatest(
            coalesce(bars.latest_trade_date, due_session.overdue_trade_date),
            coalesce(due_session.overdue_trade_date, bars.latest_trade_date)
        ) as assessed_trade_date
    from bars
    cross join due_session

),

marked_bars as (

    select
        expected_bars.*,
        coalesce(expected_bars.trade_date = sessions.assessed_trade_date, false) as is_latest
    from {{ ref('int_expected_bars__matched') }} as expected_bars
    cross join sessions

),

-- In one reading of all that is expected.
expected_summary as (

    select
        countif(is_latest and is_expected and is_valid) as valid_record_count,
        countif(is_latest and is_provisional) as provisional_record_count,
        countif(
            is_latest
            and is_expected
            and is_valid
            and 'is_from_primary' in unnest(failed_checks)
        ) as fallback_record_count,
        array_agg(
            if(is_latest and is_expected and not is_valid, symbol, null)
            ignore nulls order by symbol
        ) as unserved_symbols,
        round(100 * avg(if(is_latest, score, null)), 2) as latest_quality_score,
        round(100 * avg(score), 2) as quality_score
    from marked_bars

),

recent_sessions as (

    select
        source_id,
        countif(is_lacking) as lacking_session_count,
        countif(is_repeated) as repeated_session_count,
        countif(is_overdue) as overdue_session_count
    from {{ ref('quality_source_sessions') }}
    where trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)
    group by source_id

),

session_summary as (

    select
        -- One session may still be on its way from a source.
        array_agg(if(lacking_session_count > 1, source_id, null) ignore nulls order by source_id)
            as stale_sources,
        coalesce(sum(repeated_session_count), 0) as repeated_session_count,
        coalesce(sum(overdue_session_count), 0) as overdue_session_count
    from recent_sessions

),

unknown_symbols as (

    select array_agg(distinct symbol order by symbol) as unknown_symbols
    from {{ ref('int_bars__compared') }}
    where instrument_id is null

),

-- A year is known whole, of the seeds or of the exchange's list.
calendar_end as (

    select
        greatest(
            date '{{ var("calendar_end") }}',
            coalesce(max(date(list_year, 12, 31)), date '{{ var("calendar_end") }}')
        ) as calendar_ends_on
    from {{ ref('int_calendar_days__announced') }}

),

described as (

    select
        expected_summary.unserved_symbols,
        session_summary.stale_sources,
        unknown_symbols.unknown_symbols,
        instruments.instrument_count,
        sessions.symbol_count,
        sessions.record_count,
        sessions.valid_record_count,
        sessions.exchange_record_count,
        sessions.unreconciled_record_count,
        expected_summary.valid_record_count as latest_valid_record_count,
        expected_summary.provisional_record_count as latest_provisional_record_count,
        expected_summary.fallback_record_count as latest_fallback_record_count,
        session_summary.repeated_session_count,
        session_summary.overdue_session_count,
        sessions.due_session_number - latest.session_number as sessions_behind,
        expected_summary.latest_quality_score,
        expected_summary.quality_score,
        sessions.latest_trade_date,
        sessions.due_trade_date,
        sessions.assessed_trade_date,
        calendar_end.calendar_ends_on
    from sessions
    cross join calendar_end
    cross join instruments
    cross join expected_summary
    cross join unknown_symbols
    cross join session_summary
    left join trading_sessions as latest
        on sessions.latest_trade_date = latest.trade_date

)

select * from described
