with

bars as (

    select * from {{ ref('int_bars__unioned') }}
    -- The first merged bar looks back once to the bar before it, and that one once more to be checked itself.
    where
        trade_date >= {{ window_start(context_days=2 * var('context_days')) }}
        -- Implied by the line above, since no bar is received before its day; it prunes raw's partitions.
        and extracted_at >= timestamp({{ window_start(context_days=2 * var('context_days')) }})

),

freshest as (

    select * from bars
    qualify
        row_number() over (
            partition by symbol, trade_date, source_id
            -- After the time, the values: two versions of one moment are told apart the same way in every order of arrival.
            order by extracted_at desc, close desc, open desc, high desc, low desc, volume desc
        ) = 1

)

select * from freshest
