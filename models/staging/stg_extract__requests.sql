with

source as (

    select * from {{ source('raw', 'extract_requests') }}

),

renamed as (

    select
        _run_id as run_id,
        source_id,
        raw_table,
        symbol,
        outcome,
        error_class,
        message,
        attempts,
        elapsed_ms,
        row_count,
        first_date,
        last_date,
        asked_from,
        asked_to,
        is_daily,
        requested_at,
        _extracted_at as extracted_at

    from source

)

select * from renamed
