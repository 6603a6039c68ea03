with

best_precedence as (

    select
        source_id,
        min(precedence) as precedence
    from {{ ref('source_precedence') }}
    group by source_id

),

ranked as (

    select
        source_id,
        precedence,
        row_number() over (order by precedence) = 1 as is_primary
    from best_precedence

)

select * from ranked
