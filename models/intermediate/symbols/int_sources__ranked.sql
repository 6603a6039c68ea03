with

best_precedence as (

    select
        source_id,
        min(precedence) as precedence
    from {{ ref('source_precedence') }}
    group by source_id

),

-- The exchange's record has prices as traded, and no run asks for it. The providers are compared
-- with it.
marked as (

    select
        source_id,
        precedence,
        source_id = '{{ var('exchange_source') }}' as is_exchange
    from best_precedence

),

ranked as (

    select
        source_id,
        precedence,
        not is_exchange
        and row_number() over (partition by is_exchange order by precedence) = 1 as is_primary,
        is_exchange
    from marked

)

select * from ranked
