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
        is_withdrawn,
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
        false as is_withdrawn,
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
        is_withdrawn,
        trade_date,
        extracted_at
    from {{ ref('stg_yahoo__daily_bars') }}

),

-- A bar dated after the day of its receipt is left out, because its session could not have closed.
-- So from here on, no bar was received before its day.
come as (

    select * from bars
    where trade_date <= date(extracted_at, 'Asia/Kolkata')

),

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

-- The join does not change the time of receipt, so a filter on it prunes raw's partitions.
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
        come.is_withdrawn,
        come.trade_date,
        come.extracted_at
    from come
    left join current_symbols
        on
            come.symbol = current_symbols.former_symbol
            and date(come.extracted_at, 'UTC') <= current_symbols.last_used_on

),

-- The exchange's record has the symbol of the day itself, and is final when it is published.
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
        false as is_withdrawn,
        trade_date,
        extracted_at
    from {{ ref('int_exchange_bars__resolved') }}
    where trade_date <= date(extracted_at, 'Asia/Kolkata')

)

select * from with_exchange
