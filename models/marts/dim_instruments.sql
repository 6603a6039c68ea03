{%- set expected = env_var('EXPECTED_SYMBOLS', '') -%}

with

instruments as (

    select * from {{ ref('instruments') }}

),

former_identifiers as (

    select
        instrument_id,
        array_agg(if(kind = 'symbol', identifier, null) ignore nulls order by identifier)
            as former_symbols,
        array_agg(if(kind = 'isin', identifier, null) ignore nulls order by identifier)
            as former_isins
    from {{ ref('former_identifiers') }}
    group by instrument_id

),

described as (

    select
        instruments.instrument_id,
        instruments.symbol,
        former_identifiers.former_symbols,
        instruments.isin,
        former_identifiers.former_isins,
        instruments.name,
        instruments.sector,
        instruments.kite_tradingsymbol,
        instruments.yahoo_ticker,
        instruments.alpha_vantage_ticker,
        -- Either SYMBOLS is not set, or it contains the symbol.
        (
            '{{ expected }}' = ''
            or instruments.symbol in unnest(split('{{ expected }}', ','))
        ) as is_expected,
        instruments.listed_on,
        instruments.delisted_on
    from instruments
    left join former_identifiers
        on instruments.instrument_id = former_identifiers.instrument_id

)

select * from described
