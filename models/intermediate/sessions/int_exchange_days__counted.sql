{{
    config(
        tags=['bars', 'evidence'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['trade_date'],
        incremental_predicates=["DBT_INTERNAL_DEST.trade_date >= {{ oldest_window_start() }}"],
        on_schema_change='fail',
        partition_by={'field': 'trade_date', 'data_type': 'date', 'granularity': 'month'},
    )
}}

with

records as (

    select
        trade_date,
        count(*) as record_count
    from {{ ref('fct_daily_bar_revisions') }}
    where
        known_to is null
        and source_id = '{{ var('exchange_source') }}'
        -- A day is counted for all shares, also if only the past of a few has changed.
        and trade_date >= {{ oldest_window_start() }}
    group by trade_date

)

select * from records
