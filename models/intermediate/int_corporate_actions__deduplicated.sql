{{ config(tags=['windowed']) }}

with

corporate_actions as (

    select
        symbol,
        source_id,
        dividend_amount,
        split_ratio,
        ex_date,
        extracted_at
    from {{ ref('stg_yahoo__corporate_actions') }}
    where
        ex_date >= {{ window_start(context_days=2 * var('context_days')) }}
        and extracted_at >= timestamp({{ window_start(context_days=2 * var('context_days')) }})

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
