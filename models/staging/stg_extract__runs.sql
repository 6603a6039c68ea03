with

source as (

    select * from {{ source('raw', 'extract_runs') }}

),

renamed as (

    select
        _run_id as run_id,
        command,
        reason,
        exit_status,
        request_count,
        failed_request_count,
        landed_row_count,
        built_node_count,
        failed_node_count,
        bytes_processed,
        bytes_billed,
        started_at,
        ended_at,
        _extracted_at as extracted_at

    from source

)

select * from renamed
