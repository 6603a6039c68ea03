with

source as (

    select * from {{ source('raw', 'nse_files') }}

),

renamed as (

    select
        batch_path as list_id,
        file_name,
        'nse' as source_id,
        raw_table,
        unread_symbols,
        row_count,
        left_out_row_count,
        refused_row_count,
        covers_from,
        covers_to,
        _extracted_at as extracted_at
    from source

)

select * from renamed
