{{
    config(
        tags=['bars', 'evidence'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'source_id'],
        on_schema_change='fail',
    )
}}

with

bars as (

    select
        symbol,
        source_id,
        trade_date
    from {{ ref('fct_daily_bar_revisions') }}
    {% if is_incremental() %}
        where {{ in_window('trade_date') }}

        -- A version is never deleted, so the first day moves only to an earlier one.
        union all

        select
            symbol,
            source_id,
            first_trade_date as trade_date
        from {{ this }}
    {% endif %}

),

received as (

    select
        symbol,
        source_id,
        min(trade_date) as first_trade_date
    from bars
    group by symbol, source_id

)

select * from received
