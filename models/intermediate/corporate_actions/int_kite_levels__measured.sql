{{
    config(
        tags=['actions', 'bars'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'month'],
        incremental_predicates=[
            "{{ in_window('DBT_INTERNAL_DEST.month', 'DBT_INTERNAL_DEST.symbol') }}"
        ],
        on_schema_change='fail',
        partition_by={'field': 'month', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol'],
    )
}}

{% set measures = [
    'kite_mean', 'yahoo_mean', 'kite_variance', 'yahoo_variance', 'covariance'
] %}

with

bars as (

    select
        symbol,
        source_id,
        cast(close as float64) as close,
        trade_date,
        {{ day_of_receipt('first_sent_at') }} as known_on
    from {{ ref('int_bars__deduplicated') }}
    where
        close > 0
        {% if is_incremental() %}
            and {{ in_window('trade_date') }}
        {% endif %}

),

ex_dates as (

    select
        symbol,
        ex_date,
        date_trunc(ex_date, month) as month
    from {{ ref('int_corporate_actions__reported') }}
    where kind = 'dividend' and not is_withdrawn
    group by symbol, ex_date

),

part_starts as (

    select
        symbol,
        month,
        ex_date as first_date
    from ex_dates

    union distinct

    select
        symbol,
        month,
        month as first_date
    from ex_dates

),

-- An ex-date divides its month into parts.
parts as (

    select
        *,
        lead(first_date, 1, date '9999-12-31') over (
            partition by symbol, month
            order by first_date
        ) as next_first_date
    from part_starts

),

share_factors as (

    select * from {{ ref('int_share_factors') }}

),

-- In shares of the day on which Kite sent its close. Bars that Kite sent within days of the session
-- are left out: each was sent on another day, and nearly all before the next ex-date.
pairs as (

    select
        kite_bars.symbol,
        kite_bars.close as kite_close,
        yahoo_bars.close
        * coalesce(at_yahoo.share_factor, 1)
        / coalesce(at_kite.share_factor, 1) as yahoo_close,
        date_trunc(kite_bars.trade_date, month) as month,
        coalesce(parts.first_date, date_trunc(kite_bars.trade_date, month)) as part_date,
        kite_bars.trade_date,
        kite_bars.known_on
    from bars as kite_bars
    inner join bars as yahoo_bars
        on
            kite_bars.symbol = yahoo_bars.symbol
            and kite_bars.trade_date = yahoo_bars.trade_date
    left join parts
        on
            kite_bars.symbol = parts.symbol
            and date_trunc(kite_bars.trade_date, month) = parts.month
            and kite_bars.trade_date >= parts.first_date
            and kite_bars.trade_date < parts.next_first_date
    left join share_factors as at_kite
        on
            kite_bars.symbol = at_kite.symbol
            and kite_bars.known_on >= at_kite.valid_from
            and kite_bars.known_on < at_kite.valid_to
    left join share_factors as at_yahoo
        on
            yahoo_bars.symbol = at_yahoo.symbol
            and yahoo_bars.known_on >= at_yahoo.valid_from
            and yahoo_bars.known_on < at_yahoo.valid_to
    where
        kite_bars.source_id = 'kite'
        and yahoo_bars.source_id = 'yahoo'
        and kite_bars.known_on > date_add(kite_bars.trade_date, interval 4 day)

),

with_medians as (

    select
        *,
        percentile_cont(kite_close / yahoo_close, 0.5)
            over (partition by symbol, part_date, known_on)
            as median_ratio
    from pairs

),

-- If dividends were subtracted, the ratio changes with the price, by 1 or 2 % in a month. A ratio
-- that is farther off comes from a wrong close of Yahoo.
fetches as (

    select
        symbol,
        month,
        known_on,
        count(*) as session_count,
        avg(kite_close) as kite_mean,
        avg(yahoo_close) as yahoo_mean,
        var_pop(kite_close) as kite_variance,
        var_pop(yahoo_close) as yahoo_variance,
        covar_pop(kite_close, yahoo_close) as covariance,
        min(trade_date) as first_date,
        max(trade_date) as last_date
    from with_medians
    where abs(kite_close / yahoo_close / median_ratio - 1) <= 0.02
    group by symbol, month, part_date, known_on

),

months as (

    select
        symbol,
        date_trunc(trade_date, month) as month
    from bars
    where source_id = 'kite'
    group by symbol, date_trunc(trade_date, month)

),

-- Each month has a row, so that a merge empties the row of a month whose bars Kite has sent again.
measured as (

    select
        months.symbol,
        array_agg(
            if(
                fetches.symbol is null,
                null,
                struct(
                    fetches.known_on as known_on,
                    fetches.session_count as session_count,
                    fetches.kite_mean as kite_mean,
                    fetches.yahoo_mean as yahoo_mean,
                    fetches.kite_variance as kite_variance,
                    fetches.yahoo_variance as yahoo_variance,
                    fetches.covariance as covariance,
                    fetches.first_date as first_date,
                    fetches.last_date as last_date
                )
            ) ignore nulls
            order by fetches.known_on, fetches.first_date
        ) as fetches,
        months.month
    from months
    left join fetches
        on months.symbol = fetches.symbol and months.month = fetches.month
    group by months.symbol, months.month

),

-- A sum of float64 differs in its last digits by the order of its rows. The variance of twenty
-- closes may lie exactly between two numbers of six decimals, where round() goes either way.
-- With 0.3 in place of the half, no mean or variance of a month's closes lies on the edge.
digested as (

    select
        symbol,
        fetches,
        (
            select
                to_hex(
                    md5(
                        string_agg(
                            to_json_string(
                                struct(
                                    told.known_on as known_on,
                                    told.session_count as session_count,
                                    {% for measure in measures -%}
                                        cast(floor(told.{{ measure }} * 1000000 + 0.3) as int64)
                                            as {{ measure }},
                                    {% endfor -%}
                                    told.first_date as first_date,
                                    told.last_date as last_date
                                )
                            ),
                            '\n'
                            order by told.known_on, told.first_date
                        )
                    )
                )
            from unnest(measured.fetches) as told
        ) as digest,
        month
    from measured

)

select * from digested
