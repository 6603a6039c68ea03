-- A table, because two models read it. Each run rebuilds it for its window and the days before it
-- that the window's bars need.
{{ config(materialized='table', cluster_by=['symbol'], tags=['bars', 'windowed']) }}

with

bars as (

    select * from {{ ref('int_bars__rebased') }}

),

corporate_actions as (

    select
        symbol,
        sum(if(kind = 'dividend', coalesce(dividend_yield, 0), 0)) as dividend_yield,
        -- No source reports by how much these actions change a price.
        logical_or(kind in ('rights', 'demerger', 'capital_reduction')) as has_unsized_action,
        ex_date
    from {{ ref('fct_corporate_actions') }}
    where status in ('confirmed', 'reported')
    group by symbol, ex_date

),

-- While a share event is not settled, it is not known in which shares the earlier prices are.
unsettled as (

    select
        symbol,
        max(ex_date) as ex_date
    from {{ ref('fct_corporate_actions') }}
    where
        kind not in ('dividend', 'rights', 'demerger', 'capital_reduction')
        and status in ('reported', 'contradicted', 'unreadable')
    group by symbol

),

instruments as (

    select
        instrument_id,
        symbol,
        listed_on
    from {{ ref('dim_instruments') }}

),

trading_sessions as (

    select
        trade_date,
        is_short,
        closes_at
    from {{ ref('dim_trading_sessions') }}

),

adjustment_factors as (

    select
        symbol,
        share_factor,
        valid_from,
        valid_to
    from {{ ref('fct_adjustment_factors') }}

),

-- Alpha Vantage sends prices as they were traded.
third_opinions as (

    select
        opinions.symbol,
        cast(
            cast(opinions.close as float64) * coalesce(adjustment_factors.share_factor, 1)
            as numeric
        ) as close,
        opinions.trade_date
    from {{ ref('int_third_opinions__deduplicated') }} as opinions
    left join adjustment_factors
        on
            opinions.symbol = adjustment_factors.symbol
            and opinions.trade_date >= adjustment_factors.valid_from
            and opinions.trade_date < adjustment_factors.valid_to

),

source_precedence as (

    select * from {{ ref('source_precedence') }}

),

sources as (

    select * from {{ ref('int_sources__ranked') }}

),

primary_source as (

    select source_id from sources
    where is_primary

),

exchange as (

    select source_id from sources
    where is_exchange

),

suspect_sessions as (

    select
        source_id,
        trade_date
    from {{ ref('int_suspect_sessions__found') }}

),

with_last_bar as (

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        last_value(close) over last_bar as last_close,
        last_value(trade_date) over last_bar as last_trade_date,
        last_value(
            to_json_string(struct(open, high, low, close, volume))
        ) over last_bar as last_values,
        avg(nullif(volume, 0)) over last_month as average_volume,
        revision_count,
        price_factor,
        price_addend,
        volume_factor,
        is_provisional,
        is_withdrawn,
        trade_date,
        extracted_at
    from bars
    window
        last_bar as (
            partition by symbol, source_id
            order by unix_date(trade_date)
            range between {{ var('context_days') }} preceding and 1 preceding
        ),
        last_month as (
            partition by symbol, source_id
            order by unix_date(trade_date)
            range between 30 preceding and 1 preceding
        )

),

-- Only one week, because over a longer time the price may really move by 20 %. The close is used
-- for the bars of all sources.
primary_closes as (

    select
        bars.symbol,
        bars.source_id,
        last_value(
            if(bars.source_id = primary_source.source_id and bars.close > 0, bars.close, null)
            ignore nulls
        ) over week_before as last_primary_close,
        last_value(
            if(bars.source_id = exchange.source_id and bars.close > 0, bars.close, null)
            ignore nulls
        ) over week_before as last_exchange_close,
        bars.trade_date
    from bars
    cross join primary_source
    cross join exchange
    window
        week_before as (
            partition by bars.symbol
            order by unix_date(bars.trade_date)
            range between 7 preceding and 1 preceding
        )

),

-- The peer: the bar of the same day from the other source with the lowest precedence.
peers as (

    select
        bars.symbol,
        bars.source_id,
        bars.trade_date,
        peer_bars.source_id as peer_source_id,
        peer_bars.close as peer_close,
        peer_bars.last_close as peer_last_close,
        peer_bars.open = peer_bars.close
        and peer_bars.high = peer_bars.close
        and peer_bars.low = peer_bars.close
        and peer_bars.volume = 0 as is_peer_flat
    from with_last_bar as bars
    inner join with_last_bar as peer_bars
        on
            bars.symbol = peer_bars.symbol
            and bars.trade_date = peer_bars.trade_date
            and bars.source_id != peer_bars.source_id
    inner join sources
        on peer_bars.source_id = sources.source_id
    qualify
        row_number() over (
            partition by bars.symbol, bars.source_id, bars.trade_date
            order by sources.precedence
        ) = 1

),

compared as (

    select
        with_last_bar.symbol,
        with_last_bar.source_id,
        peers.peer_source_id,
        instruments.instrument_id,
        with_last_bar.open,
        with_last_bar.high,
        with_last_bar.low,
        with_last_bar.close,
        with_last_bar.last_close,
        with_last_bar.last_trade_date,
        coalesce(primary_closes.last_exchange_close, primary_closes.last_primary_close)
            as last_reference_close,
        peers.peer_close,
        third_opinions.close as third_close,
        with_last_bar.volume,
        with_last_bar.average_volume,
        with_last_bar.revision_count,
        with_last_bar.price_factor,
        with_last_bar.price_addend,
        with_last_bar.volume_factor,
        source_precedence.precedence,
        with_last_bar.is_provisional,
        with_last_bar.is_withdrawn,
        with_last_bar.source_id = primary_source.source_id as is_from_primary,
        with_last_bar.source_id = exchange.source_id as is_from_exchange,
        trading_sessions.trade_date is not null as is_on_session,
        coalesce(trading_sessions.is_short, false) as is_short_session,
        suspect_sessions.source_id is not null as is_of_suspect_session,
        coalesce(peers.is_peer_flat, false) as is_peer_flat,
        -- In one session, a price moves by at most 20 %, apart from the dividend.
        coalesce(
            abs(
                cast(with_last_bar.close as float64)
                - cast(with_last_bar.last_close as float64)
                * (1 - coalesce(corporate_actions.dividend_yield, 0))
            ) > 0.2 * cast(with_last_bar.last_close as float64)
            and not coalesce(corporate_actions.has_unsized_action, false),
            false
        ) as is_jump,
        -- Another source, on any scale, shows the same move.
        coalesce(
            abs(
                cast(peers.peer_close as float64)
                / nullif(cast(peers.peer_last_close as float64), 0)
                - cast(with_last_bar.close as float64)
                / nullif(cast(with_last_bar.last_close as float64), 0)
            ) <= 0.02,
            false
        ) as is_move_shared,
        coalesce(corporate_actions.has_unsized_action, false) as has_unsized_action,
        coalesce(with_last_bar.trade_date >= unsettled.ex_date, true) as has_settled_scale,
        to_json_string(
            struct(
                with_last_bar.open,
                with_last_bar.high,
                with_last_bar.low,
                with_last_bar.close,
                with_last_bar.volume
            )
        ) = with_last_bar.last_values as is_repeated,
        with_last_bar.trade_date,
        instruments.listed_on,
        -- A day that is not in the calendar is taken to close at the usual time.
        coalesce(
            trading_sessions.closes_at,
            timestamp(datetime(with_last_bar.trade_date, time '15:30:00'), 'Asia/Kolkata')
        ) as closes_at,
        with_last_bar.extracted_at
    from with_last_bar
    inner join source_precedence
        on
            with_last_bar.source_id = source_precedence.source_id
            and with_last_bar.is_provisional = source_precedence.is_provisional
    cross join primary_source
    cross join exchange
    inner join primary_closes
        on
            with_last_bar.symbol = primary_closes.symbol
            and with_last_bar.source_id = primary_closes.source_id
            and with_last_bar.trade_date = primary_closes.trade_date
    left join peers
        on
            with_last_bar.symbol = peers.symbol
            and with_last_bar.source_id = peers.source_id
            and with_last_bar.trade_date = peers.trade_date
    left join third_opinions
        on
            with_last_bar.symbol = third_opinions.symbol
            and with_last_bar.trade_date = third_opinions.trade_date
    left join instruments
        on with_last_bar.symbol = instruments.symbol
    left join trading_sessions
        on with_last_bar.trade_date = trading_sessions.trade_date
    left join suspect_sessions
        on
            with_last_bar.source_id = suspect_sessions.source_id
            and with_last_bar.trade_date = suspect_sessions.trade_date
    left join corporate_actions
        on
            with_last_bar.symbol = corporate_actions.symbol
            and with_last_bar.trade_date = corporate_actions.ex_date
    left join unsettled
        on with_last_bar.symbol = unsettled.symbol

)

select * from compared
