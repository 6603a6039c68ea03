with

trading_sessions as (

    select
        session_number,
        trade_date
    from {{ ref('dim_trading_sessions') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 100 day)
        and closes_at <= current_timestamp()

),

sources as (

    select source_id from {{ ref('int_sources__ranked') }}
    where not is_exchange

),

expected_instruments as (

    select symbol from {{ ref('dim_instruments') }}
    where is_expected

),

-- A share that is no longer expected is no longer asked for. Its earlier bars would make the later
-- sessions look as if they lacked it.
bars as (

    select
        revisions.symbol,
        revisions.source_id,
        revisions.close,
        revisions.volume,
        trading_sessions.session_number,
        revisions.is_provisional
    from {{ ref('fct_daily_bar_revisions') }} as revisions
    inner join trading_sessions
        on revisions.trade_date = trading_sessions.trade_date
    inner join expected_instruments
        on revisions.symbol = expected_instruments.symbol
    where
        revisions.trade_date >= date_sub(current_date('Asia/Kolkata'), interval 100 day)
        and revisions.known_to is null

),

with_last_bars as (

    select
        source_id,
        session_number,
        is_provisional,
        volume > 0
        and session_number = lag(session_number) over of_source + 1
        and close = lag(close) over of_source
        and volume = lag(volume) over of_source as is_repeated
    from bars
    window of_source as (partition by symbol, source_id order by session_number)

),

counted as (

    select
        sources.source_id,
        trading_sessions.session_number,
        count(with_last_bars.source_id) as bar_count,
        countif(with_last_bars.is_repeated) as repeated_bar_count,
        countif(with_last_bars.is_provisional) as provisional_bar_count,
        trading_sessions.trade_date
    from trading_sessions
    cross join sources
    left join with_last_bars
        on
            sources.source_id = with_last_bars.source_id
            and trading_sessions.session_number = with_last_bars.session_number
    group by sources.source_id, trading_sessions.session_number, trading_sessions.trade_date

),

with_usual as (

    select
        *,
        max(bar_count) over (partition by source_id) as usual_bar_count,
        max(session_number) over () as last_session_number
    from counted

),

assessed as (

    select
        source_id,
        bar_count,
        usual_bar_count,
        repeated_bar_count,
        provisional_bar_count,
        bar_count < 0.5 * usual_bar_count as is_lacking,
        repeated_bar_count > 0.2 * bar_count as is_repeated,
        provisional_bar_count > 0 and session_number < last_session_number as is_overdue,
        trade_date
    from with_usual

)

select * from assessed
