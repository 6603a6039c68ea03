-- What an answer changed of the past does not change later, except by a batch that was received
-- before it and came late. So it is measured by all of its bars, or left as it is.
{{
    config(
        tags=['bars', 'evidence'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'source_id', 'detected_at'],
        on_schema_change='fail',
        cluster_by=['symbol'],
    )
}}

with

versions as (

    select
        symbol,
        source_id,
        close,
        replaced_close,
        volume,
        replaced_volume,
        revision,
        is_provisional,
        trade_date,
        known_from
    from {{ ref('fct_daily_bar_revisions') }}
    {% if is_incremental() %}
        where {{ in_window('trade_date') }}
    {% endif %}

),

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
    from versions
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

judged as (

    select
        symbol,
        source_id,
        -- A few changed volumes are not an event: sources correct a volume for days after its
        -- session.
        is_volume_event or moved_bar_count > 0 as is_event,
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
        first_trade_date as first_changed_date,
        detected_at
    from classified

),

-- The bar of the session before an ex-date is provisional in the evening, and becomes final after
-- the past was rewritten. It is then nearer to the new scale than to the old one.
rescaled_on_becoming_final as (

    select
        judged.symbol,
        judged.source_id,
        max(versions.trade_date) as last_trade_date,
        judged.detected_at
    from judged
    inner join versions
        on
            judged.symbol = versions.symbol
            and judged.source_id = versions.source_id
            and judged.detected_at = versions.known_from
            and judged.last_trade_date < versions.trade_date
    where
        not judged.is_volume_event
        and not versions.is_provisional
        and versions.revision = 1
        and versions.replaced_close > 0
        and abs(
            cast(versions.close as float64)
            - if(
                judged.is_by_ratio,
                cast(versions.replaced_close as float64) * judged.price_ratio,
                cast(versions.replaced_close as float64) + judged.price_difference
            )
        ) < abs(cast(versions.close - versions.replaced_close as float64))
    group by judged.symbol, judged.source_id, judged.detected_at

),

-- An answer may have the first bar of a later day too, which was not known before.
receipts as (

    select
        symbol,
        source_id,
        max(trade_date) as last_trade_date,
        known_from
    from versions
    group by symbol, source_id, known_from

),

known_before as (

    select
        symbol,
        source_id,
        known_from,
        max(last_trade_date) over (
            partition by symbol, source_id
            order by known_from
            rows between unbounded preceding and 1 preceding
        ) as last_known_date
    from receipts

),

told as (

    select
        judged.symbol,
        judged.source_id,
        case
            when not judged.is_event then null
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
        judged.first_changed_date,
        known_before.last_known_date,
        judged.detected_at
    from judged
    inner join known_before
        on
            judged.symbol = known_before.symbol
            and judged.source_id = known_before.source_id
            and judged.detected_at = known_before.known_from
    left join rescaled_on_becoming_final
        on
            judged.symbol = rescaled_on_becoming_final.symbol
            and judged.source_id = rescaled_on_becoming_final.source_id
            and judged.detected_at = rescaled_on_becoming_final.detected_at

),

{% if is_incremental() %}
    told_before as (

        select
            symbol,
            source_id,
            first_changed_date,
            detected_at
        from {{ this }}
        where first_changed_date is not null

    ),

    -- An answer of which the window has only a part is left as it was measured: nothing of it has
    -- changed, because a batch that can change it opens the window back to its first bar. If all of
    -- its bars are in the window and none is restated any more, its row stays without values,
    -- because a merge never deletes.
    whole as (

        select
            coalesce(told.symbol, told_before.symbol) as symbol,
            coalesce(told.source_id, told_before.source_id) as source_id,
            told.kind,
            told.price_ratio,
            told.price_difference,
            told.volume_ratio,
            told.bar_count,
            told.fitting_bar_count,
            told.first_trade_date,
            told.last_trade_date,
            told.first_changed_date,
            told.last_known_date,
            coalesce(told.detected_at, told_before.detected_at) as detected_at
        from told
        full outer join told_before
            on
                told.symbol = told_before.symbol
                and told.source_id = told_before.source_id
                and told.detected_at = told_before.detected_at
        where
            told_before.symbol is null
            or ({{ in_window('told_before.first_changed_date', 'told_before.symbol') }})

    )
{% else %}
    whole as (

        select * from told

    )
{% endif %}

select * from whole
