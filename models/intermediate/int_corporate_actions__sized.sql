{{
    config(
        tags=['windowed', 'actions'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'source_id', 'kind', 'ex_date'],
        incremental_predicates=[in_window('DBT_INTERNAL_DEST.ex_date', 'DBT_INTERNAL_DEST.symbol')],
        on_schema_change='fail',
        partition_by={'field': 'ex_date', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol'],
    )
}}

with

corporate_actions as (

    select * from {{ ref('int_corporate_actions__reported') }}
    where
        not is_withdrawn
        and (
            (kind = 'dividend' and dividend_amount > 0)
            or (kind = 'share_event' and share_ratio > 0 and share_ratio != 1)
        )
        {% if is_incremental() %}
            and {{ in_window('ex_date') }}
        {% endif %}

),

bars as (

    select
        symbol,
        source_id,
        close,
        trade_date,
        known_from
    from {{ ref('int_bars__deduplicated') }}
    where close > 0

),

kite_ratios as (

    select
        symbol,
        max(if(source_id = 'kite', close, null))
        / max(if(source_id = 'yahoo', close, null)) as ratio,
        max(if(source_id = 'kite', {{ day_of_receipt('known_from') }}, null)) as known_on,
        trade_date
    from bars
    group by symbol, trade_date

),

-- By how much Kite's prices, as it told them after the ex-date, fall at it, where Yahoo's do not.
-- Only a bar of the ex-date itself counts: it widens the window of the build that first sees it.
kite_steps as (

    select
        corporate_actions.symbol,
        corporate_actions.ex_date,
        round(ratios_before.ratio / ratios.ratio, 6) as kite_step
    from corporate_actions
    inner join kite_ratios as ratios
        on
            corporate_actions.symbol = ratios.symbol
            and corporate_actions.ex_date = ratios.trade_date
    inner join kite_ratios as ratios_before
        on
            corporate_actions.symbol = ratios_before.symbol
            and corporate_actions.ex_date > ratios_before.trade_date
            and corporate_actions.ex_date <= date_add(ratios_before.trade_date, interval 10 day)
            and corporate_actions.ex_date <= ratios_before.known_on
    where ratios.ratio is not null and ratios_before.ratio is not null
    qualify
        row_number() over (
            partition by corporate_actions.symbol, corporate_actions.ex_date
            order by ratios_before.trade_date desc
        ) = 1

),

-- The close that was said nearest to the report is likeliest to be on its share basis.
sized as (

    select
        corporate_actions.symbol,
        corporate_actions.source_id,
        corporate_actions.kind,
        bars.source_id as close_source_id,
        corporate_actions.share_ratio,
        corporate_actions.dividend_amount,
        bars.close as close_before,
        kite_steps.kite_step,
        corporate_actions.ex_date,
        corporate_actions.known_from,
        corporate_actions.extracted_at,
        bars.known_from as close_known_from
    from corporate_actions
    left join bars
        on
            corporate_actions.symbol = bars.symbol
            and corporate_actions.ex_date > bars.trade_date
            and corporate_actions.ex_date <= date_add(bars.trade_date, interval 10 day)
    left join kite_steps
        on
            corporate_actions.symbol = kite_steps.symbol
            and corporate_actions.ex_date = kite_steps.ex_date
    qualify
        row_number() over (
            partition by
                corporate_actions.symbol,
                corporate_actions.source_id,
                corporate_actions.kind,
                corporate_actions.ex_date
            order by
                abs(timestamp_diff(corporate_actions.known_from, bars.known_from, day)) asc,
                corporate_actions.source_id = bars.source_id desc,
                bars.trade_date desc,
                bars.source_id asc
        ) = 1

)

select * from sized
