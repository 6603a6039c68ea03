with

instruments as (

    select
        instrument_id,
        symbol,
        isin
    from {{ ref('instruments') }}

),

former_isins as (

    select
        instrument_id,
        identifier as isin
    from {{ ref('former_identifiers') }}
    where kind = 'isin'

),

isins as (

    select
        instrument_id,
        symbol,
        isin
    from instruments

    union all

    select
        instruments.instrument_id,
        instruments.symbol,
        former_isins.isin
    from former_isins
    inner join instruments
        on former_isins.instrument_id = instruments.instrument_id

),

-- The first nine characters of an ISIN are the issuer and the kind of share. They stay the same
-- when a share is renamed, and when its face value is split, which changes the last three.
resolved as (

    select distinct
        substr(isin, 1, 9) as share_code,
        instrument_id,
        symbol
    from isins

)

select * from resolved
