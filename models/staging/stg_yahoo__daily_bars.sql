with

source as (

    select * from {{ source('raw', 'yahoo_daily_bars') }}

),

renamed as (

    select
        symbol,
        'yahoo' as source_id,
        -- Yahoo sends float32 artefacts (1892.199951171875 for 1892.20).
        round(safe_cast(open as numeric), 2) as open,
        round(safe_cast(high as numeric), 2) as high,
        round(safe_cast(low as numeric), 2) as low,
        round(safe_cast(close as numeric), 2) as close,
        volume,
        coalesce(is_withdrawn, false) as is_withdrawn,
        date(date, 'Asia/Kolkata') as trade_date,
        _extracted_at as extracted_at

    from source

)

select * from renamed
