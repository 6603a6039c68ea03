-- A view, because few questions are about shares that are not instruments: a table of them would
-- be eight times the size of daily_bars.
{{ config(materialized='view') }}

with

isins as (

    select * from {{ ref('int_isins__resolved') }}

),

former_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

instruments as (

    select
        instrument_id,
        symbol
    from {{ ref('instruments') }}

),

-- Where a day has no ISIN, the symbol of the day decides. A share with the ISIN of another share is
-- that share, whatever its symbol.
named as (

    select
        shares.*,
        if(
            shares.isin is null,
            coalesce(former_symbols.symbol, shares.symbol),
            isins.symbol
        ) as symbol_today
    from {{ ref('int_traded_shares__deduplicated') }} as shares
    left join isins
        on substr(shares.isin, 1, 9) = isins.share_code
    left join former_symbols
        on
            shares.symbol = former_symbols.former_symbol
            and shares.trade_date <= former_symbols.last_used_on

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
