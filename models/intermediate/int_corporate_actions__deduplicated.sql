with

-- All of them: they are few, and fct_corporate_actions needs the oldest too.
corporate_actions as (

    select
        symbol,
        source_id,
        dividend_amount,
        split_ratio,
        ex_date,
        extracted_at
    from {{ ref('stg_yahoo__corporate_actions') }}

),

freshest as (

    select * from corporate_actions
    qualify
        row_number() over (
            partition by symbol, ex_date, source_id
            order by extracted_at desc, split_ratio desc, dividend_amount desc
        ) = 1

)

select * from freshest
