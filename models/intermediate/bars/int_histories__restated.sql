-- A table, because several statements of each run need it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions', 'bars']) }}

with

restatements as (

    select
        symbol,
        source_id,
        max(detected_at) as detected_at
    from {{ ref('fct_price_restatements') }}
    -- A provider that corrects one or two bars has not changed the scale of the others.
    where kind != 'correction'
    group by symbol, source_id

),

histories as (

    select
        restatements.symbol,
        restatements.source_id,
        -- Bars that a source sent from before the listing are not fetched again.
        greatest(
            received.first_trade_date, coalesce(instruments.listed_on, date '1900-01-01')
        ) as first_trade_date,
        measured.last_known_date as last_trade_date,
        restatements.detected_at
    from restatements
    inner join {{ ref('int_histories__received') }} as received
        on
            restatements.symbol = received.symbol
            and restatements.source_id = received.source_id
    inner join {{ ref('int_restatements__measured') }} as measured
        on
            restatements.symbol = measured.symbol
            and restatements.source_id = measured.source_id
            and restatements.detected_at = measured.detected_at
    inner join {{ ref('dim_instruments') }} as instruments
        on restatements.symbol = instruments.symbol

)

select * from histories
