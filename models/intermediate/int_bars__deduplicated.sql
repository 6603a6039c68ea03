{{ config(tags=['windowed']) }}

with

bars as (

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        is_provisional,
        trade_date,
        extracted_at
    from {{ ref('int_bars__unioned') }}
    -- The first merged bar looks back to the one before it, which looks back to be checked itself.
    where
        trade_date >= {{ window_start(context_days=2 * var('context_days')) }}
        -- No bar is received before its day, so this leaves none out; it prunes raw's partitions.
        and extracted_at >= timestamp({{ window_start(context_days=2 * var('context_days')) }})

),

freshest as (

    select * from bars
    qualify
        row_number() over (
            partition by symbol, trade_date, source_id
            -- A quote of the next morning does not replace the official close. After the time, the
            -- values: two versions of one moment are told apart the same way, in any order of
            -- arrival.
            order by
                is_provisional asc,
                extracted_at desc,
                close desc,
                open desc,
                high desc,
                low desc,
                volume desc
        ) = 1

)

select * from freshest
