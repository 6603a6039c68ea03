-- A table, because several statements of each run need it and it reads the versions of all bars.
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
            min(revisions.trade_date), coalesce(any_value(instruments.listed_on), date '1900-01-01')
        ) as first_trade_date,
        max(
            if(revisions.known_from < restatements.detected_at, revisions.trade_date, null)
        ) as last_trade_date,
        restatements.detected_at
    from restatements
    inner join {{ ref('fct_daily_bar_revisions') }} as revisions
        on
            restatements.symbol = revisions.symbol
            and restatements.source_id = revisions.source_id
    inner join {{ ref('dim_instruments') }} as instruments
        on restatements.symbol = instruments.symbol
    group by restatements.symbol, restatements.source_id, restatements.detected_at

)

select * from histories
