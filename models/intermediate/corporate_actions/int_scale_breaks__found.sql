{{
    config(
        tags=['actions', 'bars'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'source_id', 'ex_date'],
        incremental_predicates=[
            "{{ in_window('DBT_INTERNAL_DEST.ex_date', 'DBT_INTERNAL_DEST.symbol', context_days=20) }}"
        ],
        on_schema_change='fail',
        partition_by={'field': 'ex_date', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol'],
    )
}}

with

-- A smaller step may be a move of the market.
share_events as (

    select
        symbol,
        share_ratio,
        ex_date
    from {{ ref('int_share_events__judged') }}
    where
        abs(ln(share_ratio)) > 0.18
        and status != 'announced'
        and {{ in_window('ex_date', context_days=20) }}

),

-- The exchange's record is as traded, so it has a step at every event.
sources as (

    select source_id from {{ ref('int_sources__ranked') }}
    where not is_exchange

),

bars as (

    select
        symbol,
        source_id,
        cast(close as float64) as close,
        lag(cast(close as float64)) over of_source as last_close,
        trade_date,
        lag(trade_date) over of_source as last_trade_date,
        {{ day_of_receipt('first_sent_at') }} as known_on,
        lag({{ day_of_receipt('first_sent_at') }}) over of_source as last_known_on
    from {{ ref('fct_daily_bar_revisions') }}
    where
        known_to is null
        and close > 0
        -- A source may have left bars up to 400 days before an event in the window unadjusted.
        and {{ in_window('trade_date', context_days=450) }}
    window of_source as (partition by symbol, source_id order by trade_date)

),

-- If a source adjusted its prices for the event only from some day on, they have a step of the
-- event's ratio at that day, although it sent the bars on both sides of the step after the
-- ex-date.
found as (

    select
        share_events.symbol,
        sources.source_id,
        any_value(share_events.share_ratio) as share_ratio,
        max(
            if(
                abs(ln(bars.close / bars.last_close) + ln(share_events.share_ratio)) <= 0.06,
                bars.trade_date,
                null
            )
        ) as break_date,
        share_events.ex_date
    from share_events
    cross join sources
    left join bars
        on
            share_events.symbol = bars.symbol
            and sources.source_id = bars.source_id
            and share_events.ex_date >= bars.trade_date
            and share_events.ex_date <= date_add(bars.trade_date, interval 400 day)
            and share_events.ex_date <= bars.known_on
            and share_events.ex_date <= bars.last_known_on
            and bars.trade_date <= date_add(bars.last_trade_date, interval 10 day)
    group by share_events.symbol, sources.source_id, share_events.ex_date

)

select * from found
