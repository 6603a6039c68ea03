{{
    config(
        tags=['actions', 'bars'],
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

ex_dates as (

    select
        symbol,
        ex_date
    from {{ ref('int_corporate_actions__reported') }}
    where
        kind = 'dividend'
        and not is_withdrawn
        {% if is_incremental() %}
            and {{ in_window('ex_date') }}
        {% endif %}
    group by symbol, ex_date

),

bars as (

    select
        symbol,
        source_id,
        close,
        trade_date,
        {{ day_of_receipt('first_sent_at') }} as known_on
    from {{ ref('int_bars__deduplicated') }}
    where close > 0

),

closes_before as (

    select
        ex_dates.symbol,
        bars.source_id,
        bars.close,
        -- Kite lowers its past prices on the morning of the ex-date.
        bars.source_id = 'kite' and bars.known_on >= ex_dates.ex_date as may_lack_dividends,
        ex_dates.ex_date,
        bars.trade_date,
        bars.known_on
    from ex_dates
    left join bars
        on
            ex_dates.symbol = bars.symbol
            and ex_dates.ex_date > bars.trade_date
            and ex_dates.ex_date <= date_add(bars.trade_date, interval 10 day)

),

-- Yahoo does not adjust its closes for dividends, so its close is taken if both have the session.
priced as (

    select
        symbol,
        source_id as close_source_id,
        close as close_before,
        may_lack_dividends,
        ex_date,
        trade_date as close_date,
        known_on as close_known_on
    from closes_before
    qualify
        row_number() over (
            partition by symbol, ex_date
            order by may_lack_dividends asc, trade_date desc, source_id desc
        ) = 1

)

select * from priced
