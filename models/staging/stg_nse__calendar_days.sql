with

source as (

    select * from {{ source('raw', 'nse_calendar_days') }}

),

renamed as (

    select
        _archive_path as list_id,
        'nse' as source_id,
        kind,
        trim(description) as reason,
        list_year,
        safe_cast(is_short as bool) as is_short,
        safe_cast(opens_at_ist as time) as opens_at_ist,
        safe_cast(closes_at_ist as time) as closes_at_ist,
        trade_date,
        _extracted_at as extracted_at
    from source

)

select * from renamed
