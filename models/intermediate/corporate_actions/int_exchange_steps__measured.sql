{{
    config(
        tags=['bars', 'evidence'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'ex_date'],
        incremental_predicates=[
            "{{ in_window('DBT_INTERNAL_DEST.ex_date', 'DBT_INTERNAL_DEST.symbol') }}"
        ],
        on_schema_change='fail',
        partition_by={'field': 'ex_date', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol'],
    )
}}

with

sources as (

    select * from {{ ref('int_sources__ranked') }}

),

bars as (

    select
        symbol,
        source_id,
        cast(close as float64) as close,
        lag(cast(close as float64)) over of_source as last_close,
        trade_date,
        lag(trade_date) over of_source as last_trade_date,
        {{ day_of_receipt('first_sent_at') }} as known_on,
        lag({{ day_of_receipt('first_sent_at') }}) over of_source as last_known_on
    from {{ ref('fct_daily_bar_revisions') }}
    where
        known_to is null
        and close > 0
        -- A step is between two bars that are at most ten days apart.
        and {{ in_window('trade_date', context_days=10) }}
    window of_source as (partition by symbol, source_id order by trade_date)

),

-- The change between the same two days, as traded and as a source sent both after the second day.
-- If the source has taken an action out of its past, the two changes differ by its ratio.
compared as (

    select
        records.symbol,
        bars.source_id,
        (records.close / records.last_close) / (bars.close / bars.last_close) as price_ratio,
        records.close / records.last_close as traded_step,
        sources.precedence,
        records.trade_date as ex_date
    from bars as records
    inner join sources as exchange
        on
            records.source_id = exchange.source_id
            and exchange.is_exchange
    inner join bars
        on
            records.symbol = bars.symbol
            and records.trade_date = bars.trade_date
            and records.last_trade_date = bars.last_trade_date
    inner join sources
        on
            bars.source_id = sources.source_id
            and not sources.is_exchange
    where
        bars.known_on >= bars.trade_date
        and bars.last_known_on >= bars.trade_date
        and records.trade_date <= date_add(records.last_trade_date, interval 10 day)

),

-- Smaller steps are dividends and errors. If the record itself has no step, the step is the
-- provider's own, which applied an action to a part of its past.
found as (

    select
        symbol,
        array_agg(price_ratio order by precedence limit 1)[safe_offset(0)] as price_ratio,
        string_agg(source_id, ',' order by source_id) as source_ids,
        max(price_ratio) / min(price_ratio) <= 1.01 as is_agreed,
        ex_date
    from compared
    where
        abs(ln(price_ratio)) > 0.04
        and {{ is_step_of('traded_step', 'ln(price_ratio)') }}
        and {{ in_window('ex_date') }}
    group by symbol, ex_date

),

measured as (

    select
        symbol,
        source_ids,
        price_ratio,
        if(is_agreed, {{ plausible_ratio('price_ratio') }}, null) as share_ratio,
        ex_date
    from found

    {% if is_incremental() %}
        -- A step that is no longer there keeps a row without values, because a merge never deletes.
        union all

        select
            former.symbol,
            cast(null as string) as source_ids,
            cast(null as float64) as price_ratio,
            cast(null as float64) as share_ratio,
            former.ex_date
        from {{ this }} as former
        left join found
            on
                former.symbol = found.symbol
                and former.ex_date = found.ex_date
        where
            found.symbol is null
            and {{ in_window('former.ex_date', 'former.symbol') }}
    {% endif %}

)

select * from measured
