with

source as (

    select * from {{ source('raw', 'kite_quotes') }}

),

renamed as (

    select
        symbol,
        'kite' as source_id,
        round(safe_cast(open as numeric), 2) as open,
        round(safe_cast(high as numeric), 2) as high,
        round(safe_cast(low as numeric), 2) as low,
        -- The quote's field `close` is the close of the session before.
        round(safe_cast(last_price as numeric), 2) as close,
        volume,
        date(coalesce(last_trade_time, timestamp), 'Asia/Kolkata') as trade_date,
        _extracted_at as extracted_at

    from source

)

select * from renamed
