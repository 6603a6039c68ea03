{{ config(tags=['actions', 'bars'], cluster_by=['symbol']) }}

with

told as (

    select * from {{ ref('int_restatements__measured') }}
    where kind is not null

),

-- A new past is received in parts: a run that finds a restatement in its window then fetches the
-- bars before it, and a backfill loads its data in steps. If a later part has the same bars again,
-- it is another event.
continued as (

    select
        told.symbol,
        told.source_id,
        told.detected_at,
        min(earlier.detected_at) as first_detected_at
    from told
    inner join told as earlier
        on
            told.symbol = earlier.symbol
            and told.source_id = earlier.source_id
            and told.kind = earlier.kind
            and (
                told.last_trade_date < earlier.first_trade_date
                or told.first_trade_date > earlier.last_trade_date
            )
            and told.detected_at > earlier.detected_at
            and told.detected_at <= timestamp_add(earlier.detected_at, interval 90 day)
            and (
                abs(told.price_ratio / earlier.price_ratio - 1) <= {{ var('scale_tolerance') }}
                or abs(told.price_difference - earlier.price_difference)
                <= numeric '{{ var('restatement_tolerance') }}'
            )
            and (
                told.kind != 'volume_event'
                or abs(told.volume_ratio / earlier.volume_ratio - 1) <= {{ var('scale_tolerance') }}
            )
    where told.kind != 'correction'
    group by told.symbol, told.source_id, told.detected_at

),

whole as (

    select
        told.symbol,
        told.source_id,
        any_value(told.kind) as kind,
        -- From the latest bars, because a constant difference is a different ratio in each year.
        any_value(told.price_ratio having max told.last_trade_date) as price_ratio,
        any_value(told.price_difference having max told.last_trade_date) as price_difference,
        any_value(told.volume_ratio having max told.last_trade_date) as volume_ratio,
        sum(told.bar_count) as bar_count,
        sum(told.fitting_bar_count) as fitting_bar_count,
        min(told.first_trade_date) as first_trade_date,
        max(told.last_trade_date) as last_trade_date,
        coalesce(continued.first_detected_at, told.detected_at) as detected_at,
        max(told.detected_at) as last_detected_at
    from told
    left join continued
        on
            told.symbol = continued.symbol
            and told.source_id = continued.source_id
            and told.detected_at = continued.detected_at
    group by told.symbol, told.source_id, coalesce(continued.first_detected_at, told.detected_at)

),

trading_sessions as (

    select trade_date from {{ ref('dim_trading_sessions') }}

),

next_sessions as (

    select
        whole.last_trade_date,
        min(trading_sessions.trade_date) as ex_date
    from whole
    inner join trading_sessions
        on whole.last_trade_date < trading_sessions.trade_date
    group by whole.last_trade_date

),

described as (

    select
        whole.symbol,
        whole.source_id,
        whole.kind,
        whole.price_ratio,
        whole.price_difference,
        whole.volume_ratio,
        whole.bar_count,
        whole.fitting_bar_count,
        whole.first_trade_date,
        whole.last_trade_date,
        next_sessions.ex_date,
        whole.detected_at,
        whole.last_detected_at
    from whole
    left join next_sessions
        on whole.last_trade_date = next_sessions.last_trade_date

)

select * from described
