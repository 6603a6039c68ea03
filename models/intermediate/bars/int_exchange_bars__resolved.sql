with

-- A share trades in one of these series. Other rows with its ISIN are block deals.
records as (

    select * from {{ ref('stg_nse__daily_bars') }}
    where series in ('EQ', 'BE', 'BZ')

),

-- Files from before 2011 and files with deliveries have no ISIN.
named as (

    {{ with_symbol_today('records') }}

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
