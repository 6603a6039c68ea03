with

source as (

    select * from {{ source('raw', 'yahoo_corporate_actions') }}

),

renamed as (

    select
        symbol,
        'yahoo' as source_id,
        round(safe_cast(dividend as numeric), 6) as dividend_amount,
        round(safe_cast(split_ratio as numeric), 6) as split_ratio,
        date(date, 'Asia/Kolkata') as ex_date,
        _extracted_at as extracted_at

    from source

)

select * from renamed
