-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

yahoo_actions as (

    select
        coalesce(current_symbols.symbol, corporate_actions.symbol) as symbol,
        corporate_actions.dividend_amount,
        corporate_actions.split_ratio,
        corporate_actions.ex_date,
        corporate_actions.extracted_at
    from {{ ref('stg_yahoo__corporate_actions') }} as corporate_actions
    left join current_symbols
        on
            corporate_actions.symbol = current_symbols.former_symbol
            and date(corporate_actions.extracted_at, 'UTC') <= current_symbols.last_used_on

),

yahoo_reports as (

    select
        symbol,
        dividend_amount,
        split_ratio,
        ex_date,
        min(extracted_at) as known_from,
        max(extracted_at) as extracted_at
    from yahoo_actions
    group by symbol, dividend_amount, split_ratio, ex_date

),

freshest_yahoo_reports as (

    select * from yahoo_reports
    qualify
        row_number() over (
            partition by symbol, ex_date
            order by extracted_at desc, split_ratio desc, dividend_amount desc
        ) = 1

),

reported as (

    select
        symbol,
        source_id,
        kind,
        subject,
        share_kinds,
        share_ratio,
        dividend_amount,
        is_read,
        is_withdrawn,
        ex_date,
        -- Whenever the list was received, its amounts are per share of the ex-date.
        timestamp(datetime(ex_date, time '08:30:00'), 'Asia/Kolkata') as known_from,
        first_listed_at as first_received_at,
        extracted_at
    from {{ ref('int_exchange_actions__deduplicated') }}
    where kind in ('share_event', 'dividend', 'rights', 'demerger', 'capital_reduction')

    union all

    select
        symbol,
        'yahoo' as source_id,
        'share_event' as kind,
        cast(null as string) as subject,
        cast(null as string) as share_kinds,
        cast(split_ratio as float64) as share_ratio,
        cast(null as numeric) as dividend_amount,
        true as is_read,
        false as is_withdrawn,
        ex_date,
        known_from,
        known_from as first_received_at,
        extracted_at
    from freshest_yahoo_reports
    where split_ratio > 0 and split_ratio != 1

    union all

    select
        symbol,
        'yahoo' as source_id,
        'dividend' as kind,
        cast(null as string) as subject,
        cast(null as string) as share_kinds,
        cast(null as float64) as share_ratio,
        dividend_amount,
        true as is_read,
        false as is_withdrawn,
        ex_date,
        known_from,
        known_from as first_received_at,
        extracted_at
    from freshest_yahoo_reports
    where dividend_amount > 0

)

select * from reported
