with

-- A share trades in one of these series. Other rows with its symbol are block deals, other
-- securities of the company, or bonds.
records as (

    select
        trade_date,
        symbol,
        series,
        isin,
        open,
        high,
        low,
        close,
        volume,
        extracted_at
    from {{ ref('stg_nse__daily_bars') }}
    where series in ('EQ', 'BE', 'BZ')

),

-- Files from before July 2011 and files with deliveries have no ISIN; another file of the day may
-- have it. Within a day, a symbol is one share's.
named as (

    select
        *,
        max(isin) over (partition by trade_date, symbol) as isin_of_day
    from records

),

-- Of the files of a day, the one that was imported last. In one file, EQ before the other series;
-- of files that were imported together, the one with ISINs.
freshest as (

    select * from named
    qualify
        row_number() over (
            partition by trade_date, symbol
            order by
                extracted_at desc,
                if(series = 'EQ', 0, 1) asc,
                series asc,
                isin desc,
                volume desc,
                close desc
        ) = 1

),

filled as (

    select
        trade_date,
        symbol,
        series,
        coalesce(isin, isin_of_day) as isin,
        open,
        high,
        low,
        close,
        volume,
        extracted_at
    from freshest

)

select * from filled
