with

bars as (

    select
        symbol,
        close,
        trade_date,
        extracted_at
    from {{ ref('stg_alpha_vantage__daily_bars') }}
    -- The same rule as in int_bars__unioned.
    where trade_date <= date(extracted_at, 'Asia/Kolkata')

),

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

renamed as (

    select
        coalesce(current_symbols.symbol, bars.symbol) as symbol,
        bars.close,
        bars.trade_date,
        bars.extracted_at
    from bars
    left join current_symbols
        on
            bars.symbol = current_symbols.former_symbol
            and date(bars.extracted_at, 'UTC') <= current_symbols.last_used_on

)

select * from renamed
