with

source as (

    select * from {{ source('raw', 'kite_daily_bars') }}

),

renamed as (

    select
        symbol,
        'kite' as source_id,
        round(safe_cast(open as numeric), 2) as open,
        round(safe_cast(high as numeric), 2) as high,
        round(safe_cast(low as numeric), 2) as low,
        round(safe_cast(close as numeric), 2) as close,
        volume,
        coalesce(is_withdrawn, false) as is_withdrawn,
        -- Kite dates a day candle 00:00 +05:30, which in UTC is a time of the day before.
        date(date, 'Asia/Kolkata') as trade_date,
        _extracted_at as extracted_at

    from source

)

select * from renamed
