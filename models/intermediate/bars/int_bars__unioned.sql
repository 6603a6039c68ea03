with

bars as (

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        {{ is_provisional('extracted_at', 'trade_date') }} as is_provisional,
        trade_date,
        extracted_at
    from {{ ref('stg_kite__daily_bars') }}

    union all

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        true as is_provisional,
        trade_date,
        extracted_at
    from {{ ref('stg_kite__quotes') }}

    union all

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        {{ is_provisional('extracted_at', 'trade_date') }} as is_provisional,
        trade_date,
        extracted_at
    from {{ ref('stg_yahoo__daily_bars') }}

),

-- What is dated after the day on which it came is no bar: no session of that day could have closed.
-- From here on, no bar was received before its day.
come as (

    select * from bars
    where trade_date <= date(extracted_at, 'Asia/Kolkata')

),

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

-- The join leaves the time of receipt as it is, so that a filter on it prunes raw's partitions.
renamed as (

    select
        coalesce(current_symbols.symbol, come.symbol) as symbol,
        come.source_id,
        come.open,
        come.high,
        come.low,
        come.close,
        come.volume,
        come.is_provisional,
        come.trade_date,
        come.extracted_at
    from come
    left join current_symbols
        on
            come.symbol = current_symbols.former_symbol
            and date(come.extracted_at, 'UTC') <= current_symbols.last_used_on

),

-- The exchange's record names a share as it was called on the day itself, and is final when it
-- appears.
with_exchange as (

    select * from renamed

    union all

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        false as is_provisional,
        trade_date,
        extracted_at
    from {{ ref('int_exchange_bars__resolved') }}
    where trade_date <= date(extracted_at, 'Asia/Kolkata')

)

select * from with_exchange
