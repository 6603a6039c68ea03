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

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

-- The join leaves the time of receipt as it is, so that a filter on it prunes raw's partitions.
renamed as (

    select
        coalesce(current_symbols.symbol, bars.symbol) as symbol,
        bars.source_id,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        bars.is_provisional,
        bars.trade_date,
        bars.extracted_at
    from bars
    left join current_symbols
        on
            bars.symbol = current_symbols.former_symbol
            and date(bars.extracted_at, 'UTC') <= current_symbols.last_used_on

)

select * from renamed
