with

months as (

    select
        histories.symbol,
        histories.source_id,
        histories.last_trade_date,
        histories.detected_at,
        month
    from {{ ref('int_histories__restated') }} as histories
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
