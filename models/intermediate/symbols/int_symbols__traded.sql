{{
    config(
        tags=['actions', 'bars'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol'],
        on_schema_change='fail',
    )
}}

with

trading_sessions as (

    select
        trade_date,
        closes_at
    from {{ ref('dim_trading_sessions') }}
    where coalesce(is_confirmed, true)

),

-- A bar that was last received before its session had closed does not count, nor does a bar on a
-- holiday, or on a day that is not confirmed as a session.
bars as (

    select
        bars.symbol,
        bars.trade_date
    from {{ ref('int_bars__deduplicated') }} as bars
    inner join trading_sessions
        on bars.trade_date = trading_sessions.trade_date
    where
        bars.close > 0
        and bars.extracted_at >= trading_sessions.closes_at

    {% if is_incremental() %}
        -- The window may have no bar of a share that no longer trades.
        union all

        select
            symbol,
            latest_session as trade_date
        from {{ this }}
    {% endif %}

),

traded as (

    select
        symbol,
        max(trade_date) as latest_session
    from bars
    group by symbol

)

select * from traded
