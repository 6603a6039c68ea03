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

-- Only bars that could be chosen show a scale. The other bars stay without values: a merge never
-- deletes, so if a month's last good bar is corrected into a bad one, its row must be overwritten.
bars as (

    select
        symbol,
        source_id,
        close,
        volume,
        is_from_primary,
        is_jump,
        is_on_session
        and extracted_at >= closes_at
        and close > 0
        and volume > 0 as is_comparable,
        trade_date
    from {{ ref('int_bars__compared') }}
    {% if is_incremental() %}
        where {{ in_window('trade_date') }}
    {% endif %}

),

comparable as (

    select
        symbol,
        source_id,
        if(is_comparable, close, null) as close,
        if(is_comparable, volume, null) as volume,
        is_from_primary,
        is_comparable and is_jump as is_jump,
        trade_date,
        date_trunc(trade_date, month) as month
    from bars

),

fallback_sources as (

    select source_id from {{ ref('int_sources__ranked') }}
    where not is_primary and not is_exchange

),

paired as (

    select
        comparable.symbol,
        fallback_sources.source_id,
        max(if(not comparable.is_from_primary, comparable.close, null)) as close,
        max(if(comparable.is_from_primary, comparable.close, null)) as primary_close,
        max(if(not comparable.is_from_primary, comparable.volume, null)) as volume,
        max(if(comparable.is_from_primary, comparable.volume, null)) as primary_volume,
        logical_or(not comparable.is_from_primary and comparable.is_jump) as is_jump,
        logical_or(comparable.is_from_primary and comparable.is_jump) as is_primary_jump,
        comparable.trade_date,
        comparable.month
    from comparable
    inner join fallback_sources
        on
            comparable.source_id = fallback_sources.source_id
            or comparable.is_from_primary
    group by comparable.symbol, fallback_sources.source_id, comparable.trade_date, comparable.month

),

medians as (

    select
        symbol,
        source_id,
        array_agg(primary_close / close order by primary_close / close) as ratios,
        array_agg(primary_volume / volume order by primary_volume / volume) as volume_ratios,
        month
    from paired
    where
        close is not null
        and primary_close is not null
    group by symbol, source_id, month

),

with_median as (

    select
        paired.symbol,
        paired.source_id,
        paired.close,
        paired.primary_close,
        paired.is_jump,
        paired.is_primary_jump,
        round(
            cast(medians.ratios[safe_offset(div(array_length(medians.ratios), 2))] as numeric), 6
        ) as median_ratio,
        round(
            medians.volume_ratios[safe_offset(div(array_length(medians.volume_ratios), 2))], 6
        ) as median_volume_ratio,
        paired.month
    from paired
    left join medians
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
        countif(close is not null) as bar_count,
        countif(primary_close is not null) as primary_bar_count,
        countif(primary_close is not null and close is not null) as overlap_count,
        countif(
            abs(primary_close / close - median_ratio) <= median_ratio * {{ var('scale_tolerance') }}
        ) as agreeing_count,
        countif(is_jump and not coalesce(is_primary_jump, false)) as jump_count,
        countif(is_primary_jump and not coalesce(is_jump, false)) as primary_jump_count,
        month
    from with_median
    group by symbol, source_id, month

)

select * from measured
