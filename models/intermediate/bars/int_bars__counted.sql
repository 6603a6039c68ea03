{{
    config(
        tags=['bars', 'windowed'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['trade_date'],
        incremental_predicates=["DBT_INTERNAL_DEST.trade_date >= {{ oldest_window_start() }}"],
        on_schema_change='fail',
        partition_by={'field': 'trade_date', 'data_type': 'date', 'granularity': 'month'},
    )
}}

with

checks as (

    select sum(if(check_id = 'is_from_primary', weight, 0)) as is_from_primary_weight
    from {{ ref('quality_checks') }}

),

-- A row counts the bars of all symbols, so the days of the deeper window are counted for all.
bars as (

    select
        symbol,
        source_id,
        failed_checks,
        passed_weight,
        applicable_weight,
        is_valid,
        'is_from_primary' in unnest(failed_checks) as is_from_fallback,
        trade_date
    from {{ ref('fct_daily_bars') }}
    {% if is_incremental() %}
        where trade_date >= {{ oldest_window_start() }}
    {% endif %}

),

instruments as (

    select
        symbol,
        coalesce(listed_on, date '1900-01-01') as listed_on,
        coalesce(delisted_on, date '9999-12-31') as delisted_on
    from {{ ref('dim_instruments') }}
    where is_expected

),

-- Numeric, because a sum of floats depends on their order.
scored as (

    select
        bars.*,
        cast(bars.passed_weight / bars.applicable_weight as numeric) as score,
        cast(
            safe_divide(
                bars.passed_weight,
                bars.applicable_weight
                - if(bars.is_from_fallback, checks.is_from_primary_weight, 0)
            ) as numeric
        ) as score_before_primary,
        bars.is_valid
        and coalesce(
            bars.trade_date between instruments.listed_on and instruments.delisted_on, false
        ) as is_scored
    from bars
    cross join checks
    left join instruments
        on bars.symbol = instruments.symbol

),

-- Nothing here depends on the calendar, on other days, or on when it is asked for: so a row stays
-- right for as long as its bars do.
counted as (

    select
        count(*) as record_count,
        countif(is_valid) as valid_record_count,
        countif(not is_from_fallback) as primary_record_count,
        countif(source_id = '{{ var('exchange_source') }}') as exchange_record_count,
        countif('is_reconciled' in unnest(failed_checks)) as unreconciled_record_count,
        coalesce(sum(if(is_scored, score, null)), 0) as score_sum,
        coalesce(sum(if(is_scored, score_before_primary, null)), 0) as score_sum_before_primary,
        trade_date
    from scored
    group by trade_date

)

select * from counted
