{{ config(tags=['bars', 'windowed']) }}

with

bars as (

    select
        symbol,
        close,
        trade_date,
        extracted_at
    from {{ ref('int_third_opinions__renamed') }}
    where
        -- The first bars of the window are compared with bars before it, and third opinions
        -- decide whether those are valid.
        {{ in_window('trade_date', context_days=2 * var('context_days')) }}
        and extracted_at
        >= timestamp({{ oldest_window_start(context_days=3 * var('context_days')) }}, 'UTC')

),

freshest as (

    select * from bars
    qualify
        row_number() over (
            partition by symbol, trade_date
            order by extracted_at desc, close desc
        ) = 1

)

select * from freshest
