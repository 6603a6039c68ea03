-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

instruments as (

    select symbol from {{ ref('instruments') }}

),

isins as (

    select * from {{ ref('int_isins__resolved') }}

),

former_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

records as (

    select * from {{ ref('stg_nse__corporate_actions') }}
    where is_of_shares

),

-- Some records have no ISIN, and one of IRFC has that of a bond; there the symbol decides. A list
-- uses the symbol of the day of its download, an old list the symbol of the ex-date.
resolved as (

    select
        instruments.symbol,
        records.symbol as listed_symbol,
        records.list_id,
        records.kind,
        records.subject,
        records.action,
        records.dividend_amount,
        records.share_ratio,
        records.is_read,
        records.is_revision,
        records.has_unread_share_action,
        records.has_unread_dividend,
        records.ex_date,
        records.record_date,
        records.extracted_at
    from records
    left join isins
        on substr(records.isin, 1, 9) = isins.share_code
    left join former_symbols
        on
            records.symbol = former_symbols.former_symbol
            and least(records.ex_date, date(records.extracted_at, 'Asia/Kolkata'))
            <= former_symbols.last_used_on
    left join instruments
        on
            coalesce(isins.symbol, former_symbols.symbol, records.symbol)
            = instruments.symbol

)

select * from resolved
