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
        restatements.detected_at,
        -- Bars that a source sent from before the listing are not fetched again.
        greatest(
            min(revisions.trade_date), coalesce(any_value(instruments.listed_on), date '1900-01-01')
        ) as first_trade_date,
        max(
            if(revisions.known_from < restatements.detected_at, revisions.trade_date, null)
        ) as last_trade_date
    from restatements
    inner join {{ ref('fct_daily_bar_revisions') }} as revisions
        on
            restatements.symbol = revisions.symbol
            and restatements.source_id = revisions.source_id
    inner join {{ ref('dim_instruments') }} as instruments
        on restatements.symbol = instruments.symbol
    group by restatements.symbol, restatements.source_id, restatements.detected_at

),

months as (

    select
        histories.symbol,
        histories.source_id,
        histories.last_trade_date,
        histories.detected_at,
        month
    from histories
    cross join unnest(
        generate_date_array(
            date_trunc(histories.first_trade_date, month),
            histories.last_trade_date,
            interval 1 month
        )
    ) as month

),

requests as (

    select
        symbol,
        source_id,
        asked_from,
        asked_to,
        extracted_at
    from {{ ref('stg_extract__requests') }}
    where
        outcome = 'ok'
        and ends_with(raw_table, '_daily_bars')

),

-- The answer that showed the restatement counts too, for the whole months that it covered.
months_not_answered_since as (

    select
        months.symbol,
        months.source_id,
        months.detected_at,
        months.month
    from months
    left join requests
        on
            months.symbol = requests.symbol
            and months.source_id = requests.source_id
            and months.detected_at <= requests.extracted_at
            and months.month >= requests.asked_from
            and least(last_day(months.month), months.last_trade_date) <= requests.asked_to
    where requests.symbol is null

),

missing as (

    select
        symbol,
        source_id,
        min(month) as first_month,
        max(month) as last_month,
        detected_at
    from months_not_answered_since
    group by symbol, source_id, detected_at

)

select * from missing
