with

traded as (

    select * from {{ ref('int_symbols__traded') }}

),

restatements as (

    select
        symbol,
        source_id,
        price_ratio,
        ex_date,
        detected_at
    from {{ ref('fct_price_restatements') }}
    where kind = 'share_event' and ex_date is not null

),

exchange_steps as (

    select * from {{ ref('int_exchange_steps__found') }}

),

ex_dates as (

    select
        symbol,
        ex_date
    from {{ ref('int_corporate_actions__reported') }}

    union distinct

    select
        symbol,
        ex_date
    from restatements

    union distinct

    select
        symbol,
        ex_date
    from exchange_steps

),

-- The actions depend on two facts of the calendar only: whether a share trades on a day, and
-- whether an ex-date has come.
reached as (

    select
        ex_dates.symbol,
        ex_dates.ex_date,
        traded.symbol is not null as is_traded,
        coalesce(ex_dates.ex_date <= traded.latest_session, false) as is_reached
    from ex_dates
    left join traded
        on ex_dates.symbol = traded.symbol

),

evidence as (

    select
        'reports' as kind,
        to_json_string(struct(raw_table, row_count)) as fact
    from {{ ref('stg_raw__row_counts') }}

    union all

    select
        'ex-dates' as kind,
        to_json_string(struct(symbol, ex_date, is_traded, is_reached)) as fact
    from reached

    union all

    select
        'restatements' as kind,
        to_json_string(struct(symbol, source_id, price_ratio, ex_date, detected_at)) as fact
    from restatements

    union all

    select
        'steps in the record' as kind,
        to_json_string(struct(symbol, source_ids, price_ratio, share_ratio, ex_date)) as fact
    from exchange_steps

    union all

    select
        'steps' as kind,
        to_json_string(struct(symbol, source_id, traded_step, retold_step, ex_date)) as fact
    from {{ ref('int_share_events__measured') }}

    union all

    select
        'closes' as kind,
        to_json_string(
            struct(
                symbol,
                close_source_id,
                close_before,
                may_lack_dividends,
                ex_date,
                close_date,
                close_known_on
            )
        ) as fact
    from {{ ref('int_dividends__priced') }}

    union all

    select
        'levels' as kind,
        to_json_string(struct(symbol, digest, month)) as fact
    from {{ ref('int_kite_levels__measured') }}
    where digest is not null

    union all

    select
        'breaks' as kind,
        to_json_string(struct(symbol, source_id, share_ratio, break_date, ex_date)) as fact
    from {{ ref('int_scale_breaks__found') }}

),

digested as (

    select
        kind,
        to_hex(md5(string_agg(fact, '\n' order by fact))) as digest
    from evidence
    group by kind

)

select * from digested
