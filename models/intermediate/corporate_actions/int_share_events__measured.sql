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

share_events as (

    select
        symbol,
        ex_date
    from {{ ref('int_corporate_actions__reported') }}
    where kind = 'share_event'

    union distinct

    select
        symbol,
        ex_date
    from {{ ref('fct_price_restatements') }}
    where kind = 'share_event' and ex_date is not null

    union distinct

    select
        symbol,
        ex_date
    from {{ ref('int_exchange_steps__found') }}
    where share_ratio is not null

),

-- Bars up to days after the ex-date are evidence too. An event without bars also gets a row, which
-- shows that its prices were looked at.
share_events_in_window as (

    select
        share_events.symbol,
        sources.source_id,
        share_events.ex_date
    from share_events
    cross join {{ ref('int_sources__ranked') }} as sources
    where {{ in_window('share_events.ex_date', 'share_events.symbol', context_days=20) }}

),

versions as (

    select
        symbol,
        source_id,
        close,
        known_to is null as is_current,
        trade_date,
        {{ day_of_shares('source_id', 'trade_date', 'first_sent_at') }} as known_on,
        first_sent_at
    from {{ ref('fct_daily_bar_revisions') }}
    where
        close > 0
        and {{ in_window('trade_date', context_days=2 * var('context_days')) }}

),

around as (

    select
        events.symbol,
        events.source_id,
        events.ex_date,
        versions.close,
        versions.is_current,
        versions.trade_date,
        versions.trade_date < events.ex_date as is_before,
        versions.known_on < events.ex_date as is_known_before,
        versions.known_on,
        versions.first_sent_at
    from share_events_in_window as events
    left join versions
        on
            events.symbol = versions.symbol
            and events.source_id = versions.source_id
            and versions.trade_date
            between date_sub(events.ex_date, interval 10 day)
            and date_add(events.ex_date, interval 10 day)

),

-- Four closes matter: the last one before the ex-date, as sent before the ex-date and as sent now;
-- and the first one on or after the ex-date, as first sent and as sent now.
bars as (

    select
        symbol,
        source_id,
        {{ closest('close', 'is_before and is_known_before', 'desc') }} as told_before,
        {{ closest('close', 'not is_before', 'asc') }} as told_first,
        {{ closest('known_on', 'not is_before', 'asc') }} as told_first_on,
        {{ closest('close', 'is_before and is_current', 'desc') }} as current_before,
        {{ closest('known_on', 'is_before and is_current', 'desc') }} as current_before_on,
        {{ closest('close', 'not is_before and is_current', 'asc') }} as current_after,
        {{ closest('known_on', 'not is_before and is_current', 'asc') }} as current_after_on,
        ex_date
    from around
    group by symbol, source_id, ex_date

),

measured as (

    select
        symbol,
        source_id,
        -- A version first sent later may already contain another event.
        if(
            told_first_on <= date_add(ex_date, interval 30 day),
            cast(told_first as float64) / cast(told_before as float64),
            null
        ) as traded_step,
        -- If both were sent at about one time, they are on one scale, unless the source has not
        -- applied the event yet.
        if(
            current_before_on >= ex_date
            and abs(date_diff(current_before_on, current_after_on, day)) <= 30,
            cast(current_after as float64) / cast(current_before as float64),
            null
        ) as retold_step,
        ex_date
    from bars

)

select * from measured
