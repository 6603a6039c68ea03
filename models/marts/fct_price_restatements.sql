-- A view: restated bars are few, and a restatement is only whole when all its bars are seen.
{{ config(materialized='view') }}

with

-- Provisional bars are there to be replaced.
restated_bars as (

    select
        symbol,
        source_id,
        cast(close as float64) as close,
        cast(replaced_close as float64) as replaced_close,
        cast(close / replaced_close as float64) as price_ratio,
        cast(close - replaced_close as float64) as price_difference,
        volume / nullif(replaced_volume, 0) as volume_ratio,
        trade_date,
        known_from as detected_at
    from {{ ref('fct_daily_bar_revisions') }}
    where
        revision > 1
        and not is_provisional
        and close > 0
        and replaced_close > 0
        and close != replaced_close

),

collected as (

    select
        symbol,
        source_id,
        array_agg(price_ratio order by price_ratio) as price_ratios,
        array_agg(price_difference order by price_difference) as price_differences,
        array_agg(coalesce(volume_ratio, 1) order by coalesce(volume_ratio, 1)) as volume_ratios,
        count(*) as bar_count,
        min(trade_date) as first_trade_date,
        max(trade_date) as last_trade_date,
        detected_at
    from restated_bars
    group by symbol, source_id, detected_at

),

medians as (

    select
        symbol,
        source_id,
        price_ratios[safe_offset(div(bar_count, 2))] as price_ratio,
        price_differences[safe_offset(div(bar_count, 2))] as price_difference,
        volume_ratios[safe_offset(div(bar_count, 2))] as volume_ratio,
        bar_count,
        first_trade_date,
        last_trade_date,
        detected_at
    from collected

),

fitted as (

    select
        medians.symbol,
        medians.source_id,
        medians.detected_at,
        any_value(medians.price_ratio) as price_ratio,
        any_value(medians.price_difference) as price_difference,
        any_value(medians.volume_ratio) as volume_ratio,
        any_value(medians.bar_count) as bar_count,
        countif(
            abs(restated_bars.close - restated_bars.replaced_close * medians.price_ratio)
            <= {{ var('restatement_tolerance') }}
        ) as ratio_bar_count,
        countif(
            abs(restated_bars.price_difference - medians.price_difference)
            <= {{ var('restatement_tolerance') }}
        ) as difference_bar_count,
        any_value(medians.first_trade_date) as first_trade_date,
        any_value(medians.last_trade_date) as last_trade_date
    from restated_bars
    inner join medians
        on
            restated_bars.symbol = medians.symbol
            and restated_bars.source_id = medians.source_id
            and restated_bars.detected_at = medians.detected_at
    group by medians.symbol, medians.source_id, medians.detected_at

),

judged as (

    select
        *,
        ratio_bar_count >= 0.9 * bar_count
        and ratio_bar_count >= difference_bar_count as is_by_ratio,
        difference_bar_count >= 0.9 * bar_count as is_by_difference
    from fitted

),

-- The bar of the session before an ex-date is known in the evening, provisional, and becomes final
-- after the past was rewritten: it is then nearer to the new scale than to the old one.
rescaled_on_becoming_final as (

    select
        judged.symbol,
        judged.source_id,
        max(revisions.trade_date) as last_trade_date,
        judged.detected_at
    from judged
    inner join {{ ref('fct_daily_bar_revisions') }} as revisions
        on
            judged.symbol = revisions.symbol
            and judged.source_id = revisions.source_id
            and judged.detected_at = revisions.known_from
            and judged.last_trade_date < revisions.trade_date
    where
        not revisions.is_provisional
        and revisions.revision = 1
        and revisions.replaced_close > 0
        and abs(
            cast(revisions.close as float64)
            - if(
                judged.is_by_ratio,
                cast(revisions.replaced_close as float64) * judged.price_ratio,
                cast(revisions.replaced_close as float64) + judged.price_difference
            )
        ) < abs(cast(revisions.close - revisions.replaced_close as float64))
    group by judged.symbol, judged.source_id, judged.detected_at

),

told as (

    select
        judged.symbol,
        judged.source_id,
        case
            when judged.bar_count < 3 then 'correction'
            when
                judged.is_by_ratio and abs(judged.volume_ratio * judged.price_ratio - 1) <= 0.02
                then 'share_event'
            when
                (judged.is_by_ratio or judged.is_by_difference)
                and abs(judged.volume_ratio - 1) <= 0.02
                then 'dividend'
            else 'unexplained'
        end as kind,
        judged.price_ratio,
        if(
            judged.is_by_difference and not judged.is_by_ratio,
            round(cast(judged.price_difference as numeric), 2),
            null
        ) as price_difference,
        judged.volume_ratio,
        judged.bar_count,
        greatest(judged.ratio_bar_count, judged.difference_bar_count) as fitting_bar_count,
        judged.first_trade_date,
        coalesce(
            rescaled_on_becoming_final.last_trade_date, judged.last_trade_date
        ) as last_trade_date,
        judged.detected_at
    from judged
    left join rescaled_on_becoming_final
        on
            judged.symbol = rescaled_on_becoming_final.symbol
            and judged.source_id = rescaled_on_becoming_final.source_id
            and judged.detected_at = rescaled_on_becoming_final.detected_at

),

-- A past is received in parts: a run asks for what lies before the window in which it found it
-- rewritten, and a backfill lands as it goes. Another event would touch the same bars again.
continued as (

    select
        told.symbol,
        told.source_id,
        told.detected_at,
        min(earlier.detected_at) as first_detected_at
    from told
    inner join told as earlier
        on
            told.symbol = earlier.symbol
            and told.source_id = earlier.source_id
            and told.kind = earlier.kind
            and (
                told.last_trade_date < earlier.first_trade_date
                or told.first_trade_date > earlier.last_trade_date
            )
            and told.detected_at > earlier.detected_at
            and told.detected_at <= timestamp_add(earlier.detected_at, interval 90 day)
            and (
                abs(told.price_ratio / earlier.price_ratio - 1) <= {{ var('scale_tolerance') }}
                or abs(told.price_difference - earlier.price_difference)
                <= numeric '{{ var('restatement_tolerance') }}'
            )
    where told.kind != 'correction'
    group by told.symbol, told.source_id, told.detected_at

),

whole as (

    select
        told.symbol,
        told.source_id,
        any_value(told.kind) as kind,
        -- Of the latest bars: a constant difference is another ratio in each year.
        any_value(told.price_ratio having max told.last_trade_date) as price_ratio,
        any_value(told.price_difference having max told.last_trade_date) as price_difference,
        any_value(told.volume_ratio having max told.last_trade_date) as volume_ratio,
        sum(told.bar_count) as bar_count,
        sum(told.fitting_bar_count) as fitting_bar_count,
        min(told.first_trade_date) as first_trade_date,
        max(told.last_trade_date) as last_trade_date,
        coalesce(continued.first_detected_at, told.detected_at) as detected_at,
        max(told.detected_at) as last_detected_at
    from told
    left join continued
        on
            told.symbol = continued.symbol
            and told.source_id = continued.source_id
            and told.detected_at = continued.detected_at
    group by told.symbol, told.source_id, coalesce(continued.first_detected_at, told.detected_at)

),

trading_sessions as (

    select trade_date from {{ ref('dim_trading_sessions') }}

),

next_sessions as (

    select
        whole.last_trade_date,
        min(trading_sessions.trade_date) as ex_date
    from whole
    inner join trading_sessions
        on whole.last_trade_date < trading_sessions.trade_date
    group by whole.last_trade_date

),

described as (

    select
        whole.symbol,
        whole.source_id,
        whole.kind,
        whole.price_ratio,
        whole.price_difference,
        whole.volume_ratio,
        whole.bar_count,
        whole.fitting_bar_count,
        whole.first_trade_date,
        whole.last_trade_date,
        next_sessions.ex_date,
        whole.detected_at,
        whole.last_detected_at
    from whole
    left join next_sessions
        on whole.last_trade_date = next_sessions.last_trade_date

)

select * from described
