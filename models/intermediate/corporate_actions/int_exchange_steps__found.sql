with

steps as (

    select
        symbol,
        source_ids,
        price_ratio,
        share_ratio,
        ex_date
    from {{ ref('int_exchange_steps__measured') }}
    where price_ratio is not null

)

select * from steps
