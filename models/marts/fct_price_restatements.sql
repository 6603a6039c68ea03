-- Rebuilt completely each time, because a restatement must be seen with all its bars, which may be
-- of any age.
{{ config(tags=['actions', 'bars'], cluster_by=['symbol']) }}

with

-- Provisional bars are meant to be replaced. A price that moved by a tick was only rounded
-- differently.
changed_bars as (

    select
        symbol,
        source_id,
        cast(close as float64) as close,
        cast(replaced_close as float64) as replaced_close,
        cast(volume as float64) as volume,
        cast(replaced_volume as float64) as replaced_volume,
        safe_divide(volume, replaced_volume) as volume_ratio,
        abs(close - replaced_close) > numeric '{{ var('restatement_tolerance') }}' as is_moved,
        trade_date,
        known_from as detected_at
    from {{ ref('fct_daily_bar_revisions') }}
    where
        revision > 1
        and not is_provisional
        and close > 0
        and replaced_close > 0

),

-- A bar with an unchanged price counts if its volume was changed, but not if its volume appeared or
-- disappeared.
restated_bars as (

    select
        symbol,
        source_id,
        close,
        replaced_close,
        volume,
        replaced_volume,
        if(is_moved, close / replaced_close, null) as price_ratio,
        if(is_moved, close - replaced_close, null) as price_difference,
        if(is_moved, coalesce(volume_ratio, 1), null) as volume_ratio,
        if(is_moved, null, volume_ratio) as unmoved_volume_ratio,
        is_moved,
        trade_date,
        if(is_moved, trade_date, null) as moved_date,
        detected_at
    from changed_bars
    where is_moved or (volume != replaced_volume and volume > 0 and replaced_volume > 0)

),

collected as (

    select
        symbol,
        source_id,
        array_agg(
            struct(
                close as new_close,
                replaced_close as old_close,
                volume as new_volume,
                replaced_volume as old_volume,
                is_moved as has_moved
            )
        ) as bars,
        array_agg(price_ratio ignore nulls order by price_ratio) as price_ratios,
        array_agg(price_difference ignore nulls order by price_difference) as price_differences,
        array_agg(volume_ratio ignore nulls order by volume_ratio) as volume_ratios,
        array_agg(unmoved_volume_ratio ignore nulls order by unmoved_volume_ratio)
            as unmoved_volume_ratios,
        count(*) as changed_bar_count,
        countif(is_moved) as moved_bar_count,
        min(trade_date) as first_trade_date,
        max(trade_date) as last_trade_date,
        min(moved_date) as first_moved_date,
        max(moved_date) as last_moved_date,
        detected_at
    from restated_bars
    group by symbol, source_id, detected_at

),

medians as (

    select
        *,
        unmoved_volume_ratios[safe_offset(div(array_length(unmoved_volume_ratios), 2))]
            as unmoved_volume_ratio,
        price_ratios[safe_offset(div(array_length(price_ratios), 2))] as price_ratio,
        price_differences[safe_offset(div(array_length(price_differences), 2))]
            as price_difference,
        volume_ratios[safe_offset(div(array_length(volume_ratios), 2))] as volume_ratio
    from collected

),

fitted as (

    select
        *,
        (
            select
                countif(
                    abs(bar.new_close - bar.old_close * medians.price_ratio)
                    <= {{ var('restatement_tolerance') }}
                )
            from unnest(medians.bars) as bar
            where bar.has_moved
        ) as ratio_bar_count,
        (
            select
                countif(
                    abs(bar.new_close - bar.old_close - medians.price_difference)
                    <= {{ var('restatement_tolerance') }}
                )
            from unnest(medians.bars) as bar
            where bar.has_moved
        ) as difference_bar_count,
        -- A volume is a whole number of shares.
        (
            select
                countif(
                    abs(bar.new_volume - bar.old_volume * medians.unmoved_volume_ratio)
                    <= greatest(1, {{ var('scale_tolerance') }} * bar.new_volume)
                )
            from unnest(medians.bars) as bar
            where not bar.has_moved
        ) as volume_bar_count
    from medians

),

classified as (

    select
        *,
        volume_bar_count >= 3
        and volume_bar_count >= 0.9 * changed_bar_count
        and abs(unmoved_volume_ratio - 1) > 0.02 as is_volume_event,
        ratio_bar_count >= 0.9 * moved_bar_count
        and ratio_bar_count >= difference_bar_count as is_by_ratio,
        difference_bar_count >= 0.9 * moved_bar_count as is_by_difference
    from fitted

),

-- A few changed volumes are not an event: sources correct a volume for days after its session.
judged as (

    select
        symbol,
        source_id,
        is_volume_event,
        is_by_ratio,
        is_by_difference,
        if(is_volume_event, 1, price_ratio) as price_ratio,
        if(is_volume_event, null, price_difference) as price_difference,
        if(is_volume_event, unmoved_volume_ratio, volume_ratio) as volume_ratio,
        if(is_volume_event, changed_bar_count, moved_bar_count) as bar_count,
        if(
            is_volume_event, volume_bar_count, greatest(ratio_bar_count, difference_bar_count)
        ) as fitting_bar_count,
        if(is_volume_event, first_trade_date, first_moved_date) as first_trade_date,
        if(is_volume_event, last_trade_date, last_moved_date) as last_trade_date,
        detected_at
    from classified
    where is_volume_event or moved_bar_count > 0

),

-- The bar of the session before an ex-date is provisional in the evening, and becomes final after
-- the past was rewritten. It is then nearer to the new scale than to the old one.
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
        not judged.is_volume_event
        and not revisions.is_provisional
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
            when judged.is_volume_event then 'volume_event'
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
        judged.fitting_bar_count,
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

-- A new past is received in parts: a run that finds a restatement in its window then fetches the
-- bars before it, and a backfill loads its data in steps. If a later part has the same bars again,
-- it is another event.
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
            and (
                told.kind != 'volume_event'
                or abs(told.volume_ratio / earlier.volume_ratio - 1) <= {{ var('scale_tolerance') }}
            )
    where told.kind != 'correction'
    group by told.symbol, told.source_id, told.detected_at

),

whole as (

    select
        told.symbol,
        told.source_id,
        any_value(told.kind) as kind,
        -- From the latest bars, because a constant difference is a different ratio in each year.
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
