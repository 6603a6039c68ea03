with

former_symbols as (

    select
        instrument_id,
        identifier,
        last_used_on
    from {{ ref('former_identifiers') }}
    where kind = 'symbol'

),

instruments as (

    select
        instrument_id,
        symbol
    from {{ ref('instruments') }}

),

resolved as (

    select
        former_symbols.identifier as former_symbol,
        instruments.symbol,
        coalesce(former_symbols.last_used_on, date '9999-12-31') as last_used_on
    from former_symbols
    inner join instruments
        on former_symbols.instrument_id = instruments.instrument_id

)

select * from resolved
