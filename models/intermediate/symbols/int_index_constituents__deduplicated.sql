with

constituents as (

    select
        index_name,
        -- The first nine characters of an ISIN are the issuer and the kind of share. They outlast a
        -- rename, and a split of the face value, which changes the last three: all 46 ISINs that
        -- changed between the lists of the NIFTY 500 of 2021 and 2026 kept the nine.
        substr(isin, 1, 9) as share_code,
        symbol,
        isin,
        company_name,
        sector,
        list_date,
        extracted_at
    from {{ ref('stg_nse__index_constituents') }}
    where not is_placeholder

),

freshest as (

    select * from constituents
    qualify
        row_number() over (
            partition by index_name, list_date, share_code
            order by extracted_at desc, symbol asc
        ) = 1

)

select * from freshest
