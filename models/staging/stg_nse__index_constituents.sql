with

source as (

    select * from {{ source('raw', 'nse_index_constituents') }}

),

renamed as (

    select
        trim(symbol) as symbol,
        trim(isin_code) as isin,
        'nse' as source_id,
        index_name,
        trim(company_name) as company_name,
        trim(industry) as sector,
        trim(series) as series,
        -- The list has DUMMY and a name for a demerged company whose share is not traded yet.
        starts_with(symbol, 'DUMMY') as is_placeholder,
        list_date,
        _extracted_at as extracted_at
    from source

)

select * from renamed
