with

instruments as (

    select
        symbol,
        substr(isin, 1, 9) as share_code
    from {{ ref('instruments') }}

),

-- A file has all records of an ex-date: the freshest one that has any is right about all of them.
freshest as (

    select * from {{ ref('stg_nse__corporate_actions') }}
    where is_of_shares
    qualify extracted_at = max(extracted_at) over (partition by symbol, ex_date)

),

-- Two files of one day may hold the same record.
records as (

    select
        symbol,
        isin,
        source_id,
        kind,
        subject,
        action_number,
        dividend_amount,
        share_ratio,
        ex_date,
        max(record_date) as record_date,
        max(extracted_at) as extracted_at
    from freshest
    group by
        symbol,
        isin,
        source_id,
        kind,
        subject,
        action_number,
        dividend_amount,
        share_ratio,
        ex_date

),

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

-- A record is under the symbol and the ISIN of its day (L&TFH, now LTF), whose first nine letters
-- stay; one of IRFC has the ISIN of a bond, and the symbol tells. Those of others go no further.
of_instruments as (

    select
        instruments.symbol,
        records.source_id,
        records.kind,
        records.subject,
        records.dividend_amount,
        records.share_ratio,
        records.ex_date,
        records.record_date,
        records.extracted_at
    from records
    left join instruments as instruments_by_isin
        on substr(records.isin, 1, 9) = instruments_by_isin.share_code
    left join current_symbols
        on
            records.symbol = current_symbols.former_symbol
            and records.ex_date <= current_symbols.last_used_on
    inner join instruments
        on
            coalesce(instruments_by_isin.symbol, current_symbols.symbol, records.symbol)
            = instruments.symbol

),

deduplicated as (

    select
        symbol,
        source_id,
        kind,
        string_agg(distinct subject, '; ' order by subject) as subject,
        -- Where one of them is of an unknown amount, so is the sum.
        if(countif(dividend_amount is null) = 0, sum(dividend_amount), null) as dividend_amount,
        round(exp(sum(ln(share_ratio))), 6) as share_ratio,
        ex_date,
        max(record_date) as record_date,
        max(extracted_at) as extracted_at
    from of_instruments
    group by symbol, source_id, kind, ex_date

)

select * from deduplicated
