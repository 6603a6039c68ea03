with

bars as (

    select * from {{ ref('int_bars__compared') }}

),

scales as (

    select
        symbol,
        source_id,
        verdict,
        median_ratio,
        month
    from {{ ref('int_source_scales__judged') }}

),

-- The ratio between a bar and its peer, whichever of the two is the primary source.
scaled as (

    select
        bars.*,
        own_scales.verdict,
        if(
            bars.is_from_primary, peer_scales.median_ratio, 1 / nullif(own_scales.median_ratio, 0)
        ) as peer_ratio
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
        open,
        high,
        low,
        close,
        volume,
        revision_count,
        precedence,
        is_provisional,
        coalesce(open > 0 and high > 0 and low > 0 and close > 0, false) as has_positive_prices,
        high >= greatest(open, low, close) as has_highest_high,
        low <= least(open, high, close) as has_lowest_low,
        coalesce(volume >= 0, false) as has_valid_volume,
        -- Beyond its end the calendar says nothing; data_status tells when it ends.
        if(trade_date > date '{{ var("calendar_end") }}', null, is_on_session) as is_on_session,
        if(listed_on is null, null, trade_date >= listed_on) as is_after_listing,
        if(closes_at is null, null, extracted_at >= closes_at) as is_after_close,
        coalesce(
            not (open = close and high = close and low = close and volume = 0) or is_peer_flat,
            true
        ) as is_traded,
        if(volume > 0, not coalesce(is_repeated, false), null) as is_not_repeated,
        if(is_from_primary, null, coalesce(verdict, 'thin') in ('same', 'alone')) as is_reconciled,
        if(
            last_close > 0,
            abs(close - last_close) <= last_close * numeric '0.20' or has_corporate_action,
            null
        ) as has_explained_return,
        -- A flat bar without volume is no opinion.
        if(
            close > 0 and not is_peer_flat,
            abs(peer_close * peer_ratio - close) <= close * numeric '0.005',
            null
        ) as agrees_with_other_source,
        -- In rupees as they are: a third close on another scale is near neither of the two.
        if(
            third_close > 0 and peer_close > 0,
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
        not is_provisional as is_final,
        is_from_primary,
        trade_date,
        extracted_at
    from scaled

)

select * from checked
