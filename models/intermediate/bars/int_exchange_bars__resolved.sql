with

isins as (

    select * from {{ ref('int_isins__resolved') }}

),

former_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

-- A share trades in one of these series. Other rows with its ISIN are block deals.
records as (

    select * from {{ ref('stg_nse__daily_bars') }}
    where series in ('EQ', 'BE', 'BZ')

),

-- Files from before 2011 and files with deliveries have no ISIN; there the symbol of the day
-- decides. A record with the ISIN of another share belongs to that share, whatever its symbol.
named as (

    select
        records.*,
        if(
            records.isin is null,
            coalesce(former_symbols.symbol, records.symbol),
            isins.symbol
        ) as symbol_today
    from records
    left join isins
        on substr(records.isin, 1, 9) = isins.share_code
    left join former_symbols
        on
            records.symbol = former_symbols.former_symbol
            and records.trade_date <= former_symbols.last_used_on

),

resolved as (

    select
        instruments.symbol,
        named.source_id,
        named.open,
        named.high,
        named.low,
        named.close,
        named.volume,
        named.trade_date,
        named.extracted_at
    from named
    inner join {{ ref('instruments') }} as instruments
        on named.symbol_today = instruments.symbol
    -- EQ before the other series; of two records in one series, the one with an ISIN.
    qualify
        row_number() over (
            partition by instruments.symbol, named.trade_date, named.extracted_at
            order by
                if(named.series = 'EQ', 0, 1) asc,
                named.series asc,
                named.isin desc,
                named.volume desc,
                named.close desc
        ) = 1

)

select * from resolved
