{#- The score of a day before this one no longer depends on when it is asked for. -#}
{%- set recent_start = "date_sub(current_date('Asia/Kolkata'), interval 400 day)" %}

with

due_session as (

    select
        array_agg(trade_date) as closed_dates,
        max(trade_date) as trade_date,
        -- The run of such a session should be over.
        max(
            if(
                closes_at < timestamp_sub(
                    current_timestamp(), interval {{ var('late_after_hours') }} hour
                ),
                trade_date,
                null
            )
        ) as overdue_trade_date
    from {{ ref('dim_trading_sessions') }}
    where closes_at <= current_timestamp()

),

instruments as (

    select count(*) as instrument_count from {{ ref('dim_instruments') }}
    where
        is_expected
        and coalesce(delisted_on, date '9999-12-31') >= current_date('Asia/Kolkata')

),

served_symbols as (

    select count(*) as symbol_count from {{ ref('int_symbols__served') }}

),

-- Each expected or existing bar of the recent days, read once. A valid bar of a future day is an
-- error, and would hide that bars are missing until then, so it is ignored.
bars as (

    select
        *,
        max(
            if(is_valid and trade_date <= current_date('Asia/Kolkata'), trade_date, null)
        ) over () as latest_trade_date
    from {{ ref('int_expected_bars__matched') }}
    where trade_date >= {{ recent_start }}

),

-- The assessed session is the due one; on its evening, while its bars are still awaited, it is the
-- one before.
dated_bars as (

    select
        bars.*,
        greatest(
            coalesce(bars.latest_trade_date, due_session.overdue_trade_date),
            coalesce(due_session.overdue_trade_date, bars.latest_trade_date)
        ) as assessed_trade_date
    from bars
    cross join due_session

),

marked_bars as (

    select
        *,
        coalesce(is_expected and trade_date = assessed_trade_date, false) as is_latest
    from dated_bars

),

bar_summary as (

    select
        countif(is_present) as record_count,
        countif(is_valid) as valid_record_count,
        countif(source_id = '{{ var('exchange_source') }}') as exchange_record_count,
        countif('is_reconciled' in unnest(failed_checks)) as unreconciled_record_count,
        countif(is_latest and is_valid) as latest_valid_record_count,
        countif(is_latest and is_provisional) as latest_provisional_record_count,
        countif(is_latest and is_valid and 'is_from_primary' in unnest(failed_checks))
            as latest_fallback_record_count,
        countif(is_latest and 'agrees_with_other_source' in unnest(failed_checks))
            as latest_disputed_record_count,
        array_agg(if(is_latest and not is_valid, symbol, null) ignore nulls order by symbol)
            as unserved_symbols,
        round(100 * avg(if(is_latest, score, null)), 2) as latest_quality_score,
        count(score) as expected_bar_count,
        sum(score) as score_sum,
        max(latest_trade_date) as latest_trade_date,
        max(assessed_trade_date) as assessed_trade_date
    from marked_bars

),

expected_bars as (

    select
        count(*) as expected_bar_count,
        sessions.trade_date
    from {{ ref('dim_trading_sessions') }} as sessions
    inner join {{ ref('dim_instruments') }} as instruments
        on
            sessions.trade_date >= coalesce(instruments.listed_on, date '1900-01-01')
            and sessions.trade_date <= coalesce(instruments.delisted_on, date '9999-12-31')
    where instruments.is_expected
    group by sessions.trade_date

),

-- The older bars are not read, but their counts. As in int_expected_bars__matched, bars are
-- expected from the first valid one on, and from the primary source from its own first one on.
old_days as (

    select
        counted.record_count,
        counted.valid_record_count,
        counted.exchange_record_count,
        counted.unreconciled_record_count,
        counted.score_sum,
        counted.score_sum_before_primary,
        expected_bars.expected_bar_count,
        coalesce(expected_bars.trade_date, counted.trade_date) as trade_date,
        min(if(counted.valid_record_count > 0, counted.trade_date, null)) over ()
            as first_trade_date,
        min(if(counted.primary_record_count > 0, counted.trade_date, null)) over ()
            as first_primary_date
    from expected_bars
    full outer join {{ ref('int_bars__counted') }} as counted
        on expected_bars.trade_date = counted.trade_date
    where coalesce(expected_bars.trade_date, counted.trade_date) < {{ recent_start }}

),

old_summary as (

    select
        coalesce(sum(record_count), 0) as record_count,
        coalesce(sum(valid_record_count), 0) as valid_record_count,
        coalesce(sum(exchange_record_count), 0) as exchange_record_count,
        coalesce(sum(unreconciled_record_count), 0) as unreconciled_record_count,
        coalesce(sum(if(trade_date >= first_trade_date, expected_bar_count, null)), 0)
            as expected_bar_count,
        -- A bar of a day without a session is not scored.
        sum(
            case
                when expected_bar_count is null then 0
                when trade_date >= first_primary_date then score_sum
                else score_sum_before_primary
            end
        ) as score_sum,
        max(if(valid_record_count > 0, trade_date, null)) as latest_trade_date
    from old_days

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
        -- One lacking session is allowed, because its bars may still be on their way.
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

-- A year that the seeds or the exchange's list cover is covered to its end.
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
        bar_summary.unserved_symbols,
        session_summary.stale_sources,
        unknown_symbols.unknown_symbols,
        instruments.instrument_count,
        served_symbols.symbol_count,
        old_summary.record_count + bar_summary.record_count as record_count,
        old_summary.valid_record_count + bar_summary.valid_record_count as valid_record_count,
        old_summary.exchange_record_count + bar_summary.exchange_record_count
            as exchange_record_count,
        old_summary.unreconciled_record_count + bar_summary.unreconciled_record_count
            as unreconciled_record_count,
        bar_summary.latest_valid_record_count,
        bar_summary.latest_provisional_record_count,
        bar_summary.latest_fallback_record_count,
        bar_summary.latest_disputed_record_count,
        session_summary.repeated_session_count,
        session_summary.overdue_session_count,
        if(
            coalesce(bar_summary.latest_trade_date, old_summary.latest_trade_date) is null,
            null,
            (
                select count(*) from unnest(due_session.closed_dates) as closed_date
                where
                    closed_date
                    > coalesce(bar_summary.latest_trade_date, old_summary.latest_trade_date)
            )
        ) as sessions_behind,
        bar_summary.latest_quality_score,
        round(
            100 * safe_divide(
                coalesce(cast(old_summary.score_sum as float64), 0)
                + coalesce(bar_summary.score_sum, 0),
                old_summary.expected_bar_count + bar_summary.expected_bar_count
            ),
            2
        ) as quality_score,
        coalesce(bar_summary.latest_trade_date, old_summary.latest_trade_date)
            as latest_trade_date,
        due_session.trade_date as due_trade_date,
        coalesce(
            bar_summary.assessed_trade_date,
            due_session.overdue_trade_date,
            old_summary.latest_trade_date
        ) as assessed_trade_date,
        calendar_end.calendar_ends_on
    from bar_summary
    cross join old_summary
    cross join served_symbols
    cross join due_session
    cross join calendar_end
    cross join instruments
    cross join unknown_symbols
    cross join session_summary

)

select * from described
