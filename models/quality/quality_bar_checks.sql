with

bars as (

    select * from {{ ref('int_expected_bars__matched') }}

),

checks as (

    select * from {{ ref('quality_checks') }}

),

assessed as (

    select
        bars.symbol,
        checks.check_id,
        bars.source_id,
        checks.dimension,
        checks.severity,
        case
            when not bars.is_present
                then if(checks.check_id = 'is_present', 'failed', 'not applicable')
            when checks.check_id in unnest(bars.failed_checks) then 'failed'
            when checks.check_id in unnest(bars.inapplicable_checks) then 'not applicable'
            else 'passed'
        end as status,
        checks.weight,
        bars.is_expected,
        bars.trade_date
    from bars
    cross join checks

)

select * from assessed
