{{ config(tags=['actions'], cluster_by=['symbol']) }}

with

share_events as (

    select * from {{ ref('int_share_events__judged') }}

),

dividends as (

    select * from {{ ref('int_dividends__reconciled') }}

),

reports as (

    select * from {{ ref('int_corporate_actions__reported') }}

),

-- Yahoo's ex-date may differ by days.
first_reports as (

    select
        reports.symbol,
        reports.kind,
        reports.ex_date,
        max(reports.share_kinds) as share_kinds,
        min(others.first_received_at) as first_reported_at
    from reports
    inner join reports as others
        on
            reports.symbol = others.symbol
            and reports.kind = others.kind
            and abs(date_diff(reports.ex_date, others.ex_date, day)) <= 5
    group by reports.symbol, reports.kind, reports.ex_date

),

-- The exchange reports these actions, but no source reports by how much they change a price. A
-- dividend that it has withdrawn changes none, unless Yahoo still reports one of that day.
unsized as (

    select
        reports.symbol,
        reports.kind,
        reports.subject,
        reports.is_withdrawn,
        reports.dividend_amount,
        reports.ex_date,
        reports.extracted_at
    from reports
    left join dividends
        on
            reports.symbol = dividends.symbol
            and reports.kind = 'dividend'
            and reports.ex_date = dividends.ex_date
    where
        reports.kind in ('rights', 'demerger', 'capital_reduction')
        or (reports.kind = 'dividend' and reports.is_withdrawn and dividends.symbol is null)

),

described as (

    select
        symbol,
        'share_event' as kind,
        status,
        status_reason,
        subject,
        reported_by,
        inferred_from,
        share_ratio,
        reported_ratio,
        cast(null as numeric) as dividend_amount,
        cast(null as float64) as dividend_yield,
        price_ratio,
        ex_date,
        reported_at,
        detected_at
    from share_events

    union all

    select
        symbol,
        'dividend' as kind,
        status,
        status_reason,
        subject,
        reported_by,
        cast(null as string) as inferred_from,
        cast(null as float64) as share_ratio,
        cast(null as float64) as reported_ratio,
        reported_amount as dividend_amount,
        dividend_yield,
        cast(null as float64) as price_ratio,
        ex_date,
        reported_at,
        cast(null as timestamp) as detected_at
    from dividends

    union all

    select
        unsized.symbol,
        unsized.kind,
        case
            when unsized.is_withdrawn then 'withdrawn'
            when coalesce(unsized.ex_date > traded.latest_session, true) then 'announced'
            else 'reported'
        end as status,
        if(
            unsized.is_withdrawn,
            'A later list of the exchange reaches over this day and does not name it.',
            'The exchange reports it, without saying by how much it changes a price.'
        ) as status_reason,
        unsized.subject,
        'nse' as reported_by,
        cast(null as string) as inferred_from,
        cast(null as float64) as share_ratio,
        cast(null as float64) as reported_ratio,
        unsized.dividend_amount,
        cast(null as float64) as dividend_yield,
        cast(null as float64) as price_ratio,
        unsized.ex_date,
        unsized.extracted_at as reported_at,
        cast(null as timestamp) as detected_at
    from unsized
    left join {{ ref('int_symbols__traded') }} as traded
        on unsized.symbol = traded.symbol

),

named as (

    select
        described.symbol,
        case
            when described.kind != 'share_event' then described.kind
            when
                first_reports.share_kinds = 'split'
                and coalesce(described.share_ratio, described.reported_ratio) < 1
                then 'consolidation'
            when first_reports.share_kinds in ('split', 'bonus') then first_reports.share_kinds
            when first_reports.share_kinds = 'bonus and split' then 'split_and_bonus'
            else described.kind
        end as kind,
        described.* except (symbol, kind),
        -- The report or the rewritten prices, whichever came first.
        least(
            coalesce(first_reports.first_reported_at, described.detected_at),
            coalesce(described.detected_at, first_reports.first_reported_at)
        ) as known_from
    from described
    left join first_reports
        on
            described.symbol = first_reports.symbol
            and described.kind = first_reports.kind
            and described.ex_date = first_reports.ex_date

)

select * from named
