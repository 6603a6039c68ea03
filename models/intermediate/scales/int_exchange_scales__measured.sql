{{
    config(
        tags=['bars', 'windowed'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'source_id', 'month'],
        incremental_predicates=[
            "{{ in_window('DBT_INTERNAL_DEST.month', 'DBT_INTERNAL_DEST.symbol') }}"
        ],
        on_schema_change='fail',
        partition_by={'field': 'month', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol'],
    )
}}

with

bars as (

    select
        symbol,
        source_id,
        cast(close as float64) as close,
        cast(close as float64) / nullif(cast(last_close as float64), 0) as growth,
        cast(volume as float64) as volume,
        is_from_exchange,
        is_on_session
        and extracted_at >= closes_at
        and close > 0
        and volume > 0 as is_comparable,
        last_trade_date,
        trade_date
    from {{ ref('int_bars__compared') }}
    {% if is_incremental() %}
        where {{ in_window('trade_date') }}
    {% endif %}

),

-- A pair that can no longer be compared keeps a row without values, because a merge never deletes.
paired as (

    select
        bars.symbol,
        bars.source_id,
        if(bars.is_comparable and records.is_comparable, bars.close, null) as close,
        if(bars.is_comparable and records.is_comparable, records.close, null) as exchange_close,
        if(bars.is_comparable and records.is_comparable, records.volume / bars.volume, null)
            as volume_ratio,
        -- A return counts only if the previous bar has the same date at both sources.
        if(
            bars.is_comparable
            and records.is_comparable
            and bars.last_trade_date = records.last_trade_date,
            bars.growth - records.growth,
            null
        ) as return_difference,
        date_trunc(bars.trade_date, month) as month
    from bars
    inner join bars as records
        on
            bars.symbol = records.symbol
            and bars.trade_date = records.trade_date
            and records.is_from_exchange
    where not bars.is_from_exchange

),

medians as (

    select
        symbol,
        source_id,
        array_agg(exchange_close / close ignore nulls order by exchange_close / close) as ratios,
        array_agg(volume_ratio ignore nulls order by volume_ratio) as volume_ratios,
        month
    from paired
    group by symbol, source_id, month

),

with_median as (

    select
        paired.*,
        round(
            cast(medians.ratios[safe_offset(div(array_length(medians.ratios), 2))] as numeric), 6
        ) as median_ratio,
        round(
            medians.volume_ratios[safe_offset(div(array_length(medians.volume_ratios), 2))], 6
        ) as median_volume_ratio
    from paired
    inner join medians
        on
            paired.symbol = medians.symbol
            and paired.source_id = medians.source_id
            and paired.month = medians.month

),

measured as (

    select
        symbol,
        source_id,
        any_value(median_ratio) as median_ratio,
        any_value(median_volume_ratio) as median_volume_ratio,
        countif(close is not null) as overlap_count,
        countif(
            abs(exchange_close / close - cast(median_ratio as float64))
            <= cast(median_ratio as float64) * {{ var('scale_tolerance') }}
        ) as agreeing_count,
        countif(abs(close - exchange_close) <= 0.001 * exchange_close) as level_count,
        countif(return_difference is not null) as return_count,
        countif(abs(return_difference) <= 0.001) as agreeing_return_count,
        month
    from with_median
    group by symbol, source_id, month

)

select * from measured
