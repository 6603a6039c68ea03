{#- A session is judged by the bars of all shares, and by those of the sessions around it. So the
    window is that of the share whose past has changed most, and begins a month earlier. -#}
{{
    config(
        tags=['actions', 'bars', 'windowed'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['source_id', 'trade_date'],
        incremental_predicates=["DBT_INTERNAL_DEST.trade_date >= {{ oldest_window_start(context_days=31) }}"],
        on_schema_change='fail',
        partition_by={'field': 'trade_date', 'data_type': 'date', 'granularity': 'month'},
    )
}}

with

sources as (

    select * from {{ ref('int_sources__ranked') }}

),

trading_sessions as (

    select
        trade_date,
        is_short
    from {{ ref('dim_trading_sessions') }}

),

bars as (

    select
        revisions.symbol,
        revisions.source_id,
        cast(revisions.open as float64) as open,
        cast(revisions.close as float64) as close,
        revisions.open = revisions.close
        and revisions.high = revisions.close
        and revisions.low = revisions.close as is_flat,
        cast(revisions.volume as float64) as volume,
        sources.is_exchange,
        trading_sessions.is_short,
        revisions.trade_date
    from {{ ref('fct_daily_bar_revisions') }} as revisions
    inner join sources
        on revisions.source_id = sources.source_id
    inner join trading_sessions
        on revisions.trade_date = trading_sessions.trade_date
    where
        revisions.known_to is null
        and revisions.close > 0
        and revisions.open > 0
        and revisions.trade_date >= {{ oldest_window_start(context_days=31 + 45) }}

),

with_neighbours as (

    select
        *,
        lag(close) over of_source as last_close,
        lag(trade_date) over of_source as last_trade_date,
        lead(open) over of_source as next_open,
        lead(trade_date) over of_source as next_trade_date,
        avg(nullif(volume, 0)) over (
            partition by symbol, source_id
            order by unix_date(trade_date)
            range between 30 preceding and 1 preceding
        ) as usual_volume
    from bars
    window of_source as (partition by symbol, source_id order by trade_date)

),

moves as (

    select
        symbol,
        source_id,
        close / last_close - 1 as daily_return,
        if(
            next_trade_date <= date_add(trade_date, interval 10 day), next_open / close - 1, null
        ) as gap,
        is_flat and close = last_close as is_lost,
        volume / usual_volume as volume_ratio,
        is_exchange,
        is_short,
        last_trade_date,
        trade_date
    from with_neighbours
    where last_trade_date >= date_sub(trade_date, interval 10 day)

),

-- The errors of the returns to this session and from it, against the exchange's record.
compared as (

    select
        moves.*,
        moves.daily_return - records.daily_return as return_error,
        if(
            lead(moves.last_trade_date) over of_source = moves.trade_date,
            lead(moves.daily_return - records.daily_return) over of_source,
            null
        ) as next_return_error,
        -- Ranks over the whole session, so that one share's large fall has little weight.
        rank() over (
            partition by moves.source_id, moves.trade_date, moves.gap is null
            order by moves.daily_return
        ) as return_rank,
        rank() over (
            partition by moves.source_id, moves.trade_date, moves.gap is null
            order by moves.gap
        ) as gap_rank
    from moves
    left join moves as records
        on
            moves.symbol = records.symbol
            and moves.trade_date = records.trade_date
            and moves.last_trade_date = records.last_trade_date
            and records.is_exchange
    where not moves.is_exchange
    window of_source as (partition by moves.symbol, moves.source_id order by moves.trade_date)

),

measured as (

    select
        source_id,
        trade_date,
        logical_or(is_short) as is_short,
        count(*) as bar_count,
        countif(is_lost) / count(*) as lost_share,
        -- If the close was not the last price, the next open returns to the real one.
        corr(if(gap is null, null, return_rank), if(gap is null, null, gap_rank)) as reversal,
        array_agg(volume_ratio ignore nulls order by volume_ratio) as volume_ratios,
        countif(return_error is not null) as compared_count,
        countif(
            abs(return_error) > 0.001
            and abs(return_error + next_return_error) < 0.25 * abs(return_error)
        ) as wrong_count
    from compared
    group by source_id, trade_date

),

described as (

    select
        source_id,
        bar_count,
        lost_share,
        reversal,
        volume_ratios[safe_offset(div(array_length(volume_ratios), 2))] as volume_ratio,
        is_short,
        compared_count,
        wrong_count,
        trade_date
    from measured

),

-- Calibrated on Yahoo's bars of 239 shares from 2010 to June 2024, and the exchange's of 19.
judged as (

    select
        source_id,
        case
            when compared_count >= 15 and wrong_count >= 0.15 * compared_count then 'record'
            when bar_count < 50 then null
            when lost_share >= 0.1 then 'lost'
            when lost_share >= 0.015 and reversal <= -0.15 then 'reversed'
            when volume_ratio < 0.4 and not is_short and reversal <= -0.15 then 'partial'
        end as reason,
        bar_count,
        round(lost_share, 4) as lost_share,
        round(reversal, 4) as reversal,
        round(volume_ratio, 4) as volume_ratio,
        compared_count,
        wrong_count,
        trade_date
    from described
    where trade_date >= {{ oldest_window_start(context_days=31) }}

    {% if is_incremental() %}
        -- A session that has lost its bars keeps a row without values, because a merge never
        -- deletes.
        union all

        select
            former.source_id,
            cast(null as string) as reason,
            0 as bar_count,
            cast(null as float64) as lost_share,
            cast(null as float64) as reversal,
            cast(null as float64) as volume_ratio,
            0 as compared_count,
            0 as wrong_count,
            former.trade_date
        from {{ this }} as former
        left join described
            on
                former.source_id = described.source_id
                and former.trade_date = described.trade_date
        where
            described.source_id is null
            and former.trade_date >= {{ oldest_window_start(context_days=31) }}
    {% endif %}

)

select * from judged
