{{
    config(
        tags=['actions'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol'],
        on_schema_change='fail',
    )
}}

with

trading_sessions as (

    select trade_date from {{ ref('dim_trading_sessions') }}

),

-- A bar of a day that had not come when it was received is no session, nor is one of a holiday.
bars as (

    select
        bars.symbol,
        bars.trade_date
    from {{ ref('int_bars__deduplicated') }} as bars
    left join trading_sessions
        on bars.trade_date = trading_sessions.trade_date
    where
        bars.close > 0
        and bars.trade_date <= date(bars.known_from, 'Asia/Kolkata')
        and (
            trading_sessions.trade_date is not null
            or bars.trade_date > date '{{ var("calendar_end") }}'
        )

    {% if is_incremental() %}
        -- The window may hold no bar of a share that no longer trades.
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
