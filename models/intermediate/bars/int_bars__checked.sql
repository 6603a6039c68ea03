with

bars as (

    select * from {{ ref('int_bars__compared') }}

),

scales as (

    select
        symbol,
        source_id,
        verdict,
        price_ratio,
        volume_ratio,
        expected_ratio,
        month
    from {{ ref('int_source_scales__judged') }}

),

scaled as (

    select
        bars.*,
        coalesce(
            own_scales.verdict, if(bars.is_from_primary or bars.is_from_exchange, 'same', 'thin')
        ) as verdict,
        -- A bar that is held back keeps its values.
        coalesce(own_scales.price_ratio, 1) as price_ratio,
        coalesce(own_scales.volume_ratio, 1) as volume_ratio,
        -- The ratio from the scale of the peer's bar to the scale of this bar.
        coalesce(peer_scales.expected_ratio, 1)
        / coalesce(nullif(own_scales.expected_ratio, 0), 1) as peer_ratio
    from bars
    left join scales as own_scales
        on
            bars.symbol = own_scales.symbol
            and bars.source_id = own_scales.source_id
            and date_trunc(bars.trade_date, month) = own_scales.month
    left join scales as peer_scales
        on
            bars.symbol = peer_scales.symbol
            and bars.peer_source_id = peer_scales.source_id
            and date_trunc(bars.trade_date, month) = peer_scales.month

),

-- True: passed. False: failed. Null: the check does not apply.
checked as (

    select
        symbol,
        source_id,
        {% for price in ['open', 'high', 'low', 'close'] -%}
            if(
                price_ratio = 1,
                {{ price }},
                round(cast(cast({{ price }} as float64) * price_ratio as numeric), 2)
            ) as {{ price }},
        {% endfor -%}
        cast(round(volume * volume_ratio) as int64) as volume,
        revision_count,
        precedence,
        price_factor * price_ratio as price_factor,
        price_addend * price_ratio as price_addend,
        volume_factor * volume_ratio as volume_factor,
        is_provisional,
        coalesce(open > 0 and high > 0 and low > 0 and close > 0, false) as has_positive_prices,
        high >= greatest(open, low, close) as has_highest_high,
        low <= least(open, high, close) as has_lowest_low,
        coalesce(volume >= 0, false) as has_valid_volume,
        is_on_session,
        if(listed_on is null, null, trade_date >= listed_on) as is_after_listing,
        extracted_at >= closes_at as is_after_close,
        coalesce(
            not (open = close and high = close and low = close and volume = 0) or is_peer_flat,
            true
        ) as is_traded,
        if(volume > 0, not coalesce(is_repeated, false), null) as is_not_repeated,
        -- Even in a month with one ratio, some days may be on another scale. They show as a jump
        -- from the last close of the reference, unless the third opinion shows the same jump.
        if(
            is_from_primary or is_from_exchange,
            null,
            verdict in ('same', 'apart', 'alone')
            and (
                last_reference_close is null
                or abs(
                    cast(close as float64) * price_ratio / cast(last_reference_close as float64) - 1
                ) <= 0.2
                or coalesce(
                    abs(cast(third_close as float64) - cast(close as float64) * price_ratio)
                    <= 0.005 * cast(close as float64) * price_ratio,
                    false
                )
            )
        ) as is_reconciled,
        if(
            is_from_exchange or (is_from_primary and verdict != 'apart'),
            null,
            verdict != 'apart'
        ) as is_on_own_scale,
        -- A rise in the exchange's own record needs no confirmation. A fall that only the record
        -- shows may be a split that no source has reported yet.
        if(
            last_close > 0,
            not is_jump
            or is_move_shared
            or (is_from_exchange and close between last_close and 2 * last_close),
            null
        ) as has_explained_return,
        has_settled_scale,
        -- A flat bar without volume confirms nothing, and the exchange's record is not checked
        -- against others.
        if(
            close > 0 and not is_peer_flat and not is_from_exchange,
            abs(peer_close * peer_ratio - close) <= close * numeric '0.005',
            null
        ) as agrees_with_other_source,
        -- The closes are compared in rupees, not put on one scale: if the two sources are on
        -- different scales, the third close is near at most one of them.
        if(
            third_close > 0 and peer_close > 0 and not is_from_exchange,
            abs(close - peer_close) <= peer_close * numeric '0.005'
            or abs(third_close - close) <= close * numeric '0.005'
            or abs(third_close - peer_close) > peer_close * numeric '0.005',
            null
        ) as is_not_outvoted,
        if(
            is_short_session or average_volume is null,
            null,
            volume between average_volume / 50 and average_volume * 50
        ) as has_usual_volume,
        not is_of_suspect_session as is_of_sound_session,
        if(is_withdrawn, false, null) as is_still_sent,
        not is_provisional as is_final,
        is_from_primary or is_from_exchange as is_from_primary,
        cast(close as float64) / nullif(cast(last_close as float64), 0) as growth,
        has_unsized_action,
        trade_date,
        extracted_at
    from scaled

)

select * from checked
