{{
    config(
        tags=['bars', 'windowed'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'trade_date'],
        incremental_predicates=[
            "{{ in_window('DBT_INTERNAL_DEST.trade_date', 'DBT_INTERNAL_DEST.symbol') }}"
        ],
        on_schema_change='fail',
        partition_by={'field': 'trade_date', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol', 'sector'],
    )
}}

with

chosen as (

    select * from {{ ref('int_bars__chosen') }}
    {% if is_incremental() %}
        where {{ in_window('trade_date', context_days=var('context_days')) }}
    {% endif %}

),

instruments as (

    select
        instrument_id,
        symbol,
        sector
    from {{ ref('dim_instruments') }}

),

with_previous_close as (

    select
        chosen.*,
        last_value(if(is_valid, close, null) ignore nulls) over days_before as last_valid_close,
        max(if(is_valid, trade_date, null)) over days_before as last_valid_date,
        max(if('has_explained_return' in unnest(failed_checks), trade_date, null))
            over days_before as last_jump_date
    from chosen
    window
        days_before as (
            partition by symbol
            order by unix_date(trade_date)
            range between {{ var('context_days') }} preceding and 1 preceding
        )

),

described as (

    select
        with_previous_close.symbol,
        instruments.instrument_id,
        with_previous_close.source_id,
        instruments.sector,
        with_previous_close.failed_checks,
        with_previous_close.inapplicable_checks,
        with_previous_close.open,
        with_previous_close.high,
        with_previous_close.low,
        with_previous_close.close,
        -- No return is calculated across a jump that nothing explains.
        if(
            with_previous_close.last_jump_date > with_previous_close.last_valid_date,
            null,
            with_previous_close.last_valid_close
        ) as previous_close,
        with_previous_close.volume,
        with_previous_close.revision_count,
        with_previous_close.price_factor,
        with_previous_close.price_addend,
        with_previous_close.volume_factor,
        with_previous_close.passed_weight,
        with_previous_close.applicable_weight,
        with_previous_close.is_provisional,
        with_previous_close.is_valid,
        with_previous_close.trade_date,
        if(
            with_previous_close.last_jump_date > with_previous_close.last_valid_date,
            null,
            with_previous_close.last_valid_date
        ) as previous_trade_date,
        with_previous_close.extracted_at
    from with_previous_close
    inner join instruments
        on with_previous_close.symbol = instruments.symbol
    {% if is_incremental() %}
        where {{ in_window('with_previous_close.trade_date', 'with_previous_close.symbol') }}
    {% endif %}

)

select * from described
