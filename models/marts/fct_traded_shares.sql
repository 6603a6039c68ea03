-- A view, because few questions are about shares that are not instruments: a table of them would
-- be eight times the size of daily_bars.
{{ config(materialized='view') }}

with

instruments as (

    select
        instrument_id,
        symbol
    from {{ ref('instruments') }}

),

named as (

    {{ with_symbol_today(ref('int_traded_shares__deduplicated')) }}

),

resolved as (

    select
        named.trade_date,
        named.symbol,
        named.isin,
        instruments.instrument_id,
        named.series,
        named.open as traded_open,
        named.high as traded_high,
        named.low as traded_low,
        named.close as traded_close,
        named.volume as traded_volume
    from named
    left join instruments
        on named.symbol_today = instruments.symbol

)

select * from resolved
