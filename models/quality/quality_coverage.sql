with

bars as (

    select * from {{ ref('int_expected_bars__matched') }}

),

described as (

    select
        symbol,
        source_id,
        case
            when not is_present then 'missing'
            when not is_valid then 'invalid'
            when 'is_from_primary' in unnest(failed_checks) then 'fallback'
            else 'primary'
        end as state,
        is_expected,
        is_provisional,
        trade_date
    from bars

)

select * from described
