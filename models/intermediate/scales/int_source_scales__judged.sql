with

measured as (

    select
        *,
        case
            when overlap_count < {{ var('scale_minimum_overlap') }} then null
            -- A month in which an adjustment begins or ends has two ratios, and its median means
            -- nothing.
            when agreeing_count < 0.8 * overlap_count then 'unstable'
            when abs(median_ratio - 1) > {{ var('scale_tolerance') }} then 'apart'
            else 'same'
        end as own_verdict
    from {{ ref('int_source_scales__measured') }}
    -- A month in which no bar can be compared any more counts like one without bars.
    where bar_count + primary_bar_count > 0

),

with_own_ratios as (

    select
        *,
        if(own_verdict is null, null, median_ratio) as own_ratio,
        if(own_verdict is null, null, median_volume_ratio) as own_volume_ratio
    from measured

),

-- For a month with a comparison of its own, the last and the next comparison are both its own.
with_neighbours as (

    select
        *,
        last_value(own_verdict ignore nulls) over months_before as last_verdict,
        last_value(own_ratio ignore nulls) over months_before as last_ratio,
        last_value(own_volume_ratio ignore nulls) over months_before as last_volume_ratio,
        last_value(own_ratio ignore nulls) over (
            partition by symbol, source_id
            order by month
            rows between unbounded preceding and 1 preceding
        ) as previous_ratio,
        first_value(own_verdict ignore nulls) over months_after as next_verdict,
        first_value(own_ratio ignore nulls) over months_after as next_ratio,
        first_value(own_volume_ratio ignore nulls) over months_after as next_volume_ratio,
        sum(primary_bar_count) over (partition by symbol, source_id) as all_primary_bar_count
    from with_own_ratios
    window
        months_before as (
            partition by symbol, source_id
            order by month
            rows between unbounded preceding and current row
        ),
        months_after as (
            partition by symbol, source_id
            order by month
            rows between current row and unbounded following
        )

),

judged as (

    select
        symbol,
        source_id,
        case
            -- Without any bar of the primary source, no other scale exists.
            when all_primary_bar_count = 0 then 'alone'
            when last_verdict is null and next_verdict is null then 'thin'
            when last_verdict = 'unstable' or next_verdict = 'unstable' then 'unstable'
            -- The scale changed somewhere between the two compared months.
            when
                abs(last_ratio - next_ratio) > next_ratio * {{ var('scale_tolerance') }}
                then 'unstable'
            else coalesce(last_verdict, next_verdict)
        end as verdict,
        coalesce(last_ratio, next_ratio) as scale_ratio,
        coalesce(last_volume_ratio, next_volume_ratio) as scale_volume_ratio,
        -- The month's own ratio is not used if it has too few common bars: they would always agree
        -- with it.
        coalesce(last_ratio, next_ratio, 1) as expected_ratio,
        median_ratio,
        median_volume_ratio,
        bar_count,
        primary_bar_count,
        overlap_count,
        agreeing_count,
        jump_count,
        primary_jump_count,
        own_verdict is not null as is_compared,
        own_verdict is not null
        and (
            own_verdict = 'unstable'
            or coalesce(
                abs(median_ratio - previous_ratio) > median_ratio * {{ var('scale_tolerance') }},
                false
            )
        ) as is_scale_break,
        month
    from with_neighbours

),

scaled as (

    select
        symbol,
        source_id,
        verdict,
        case
            when verdict in ('same', 'alone') then 1
            when verdict = 'apart' then cast(scale_ratio as float64)
        end as price_ratio,
        case
            when verdict in ('same', 'alone') then 1
            when verdict = 'apart' then scale_volume_ratio
        end as volume_ratio,
        expected_ratio,
        median_ratio,
        median_volume_ratio,
        bar_count,
        primary_bar_count,
        overlap_count,
        agreeing_count,
        jump_count,
        primary_jump_count,
        is_compared,
        is_scale_break,
        month
    from judged

),

-- The verdict on a source in a month, from the exchange's record of that same month.
records as (

    select
        symbol,
        source_id,
        case
            -- Stricter than above, because only a few days of the month may lie before an action
            -- that the provider took out of its past.
            when agreeing_count < 0.9 * overlap_count then 'unstable'
            -- On the exchange's scale, a provider's closes equal the exchange's to the paisa.
            when abs(median_ratio - 1) > {{ var('record_tolerance') }} then 'apart'
            else 'same'
        end as verdict,
        cast(median_ratio as float64) as median_ratio,
        median_volume_ratio,
        month
    from {{ ref('int_exchange_scales__measured') }}
    where overlap_count >= {{ var('scale_minimum_overlap') }}

),

primary_records as (

    select
        records.symbol,
        if(records.verdict = 'apart', records.median_ratio, 1) as price_ratio,
        if(records.verdict = 'apart', records.median_volume_ratio, 1) as volume_ratio,
        records.month
    from records
    inner join {{ ref('int_sources__ranked') }} as sources
        on records.source_id = sources.source_id
    where sources.is_primary

),

-- If the month has a record, the source is compared with it. If not, a fallback is put on the
-- primary source's scale, and then, like the primary source, on the record's.
with_records as (

    select
        coalesce(records.symbol, scaled.symbol) as symbol,
        coalesce(records.source_id, scaled.source_id) as source_id,
        coalesce(records.verdict, scaled.verdict) as verdict,
        case
            when records.verdict = 'same' then 1
            when records.verdict = 'apart' then records.median_ratio
            when records.verdict is null
                then scaled.price_ratio * coalesce(primary_records.price_ratio, 1)
        end as price_ratio,
        case
            when records.verdict = 'same' then 1
            when records.verdict = 'apart' then records.median_volume_ratio
            when records.verdict is null
                then scaled.volume_ratio * coalesce(primary_records.volume_ratio, 1)
        end as volume_ratio,
        coalesce(
            cast(records.median_ratio as numeric),
            scaled.expected_ratio
            * cast(coalesce(primary_records.price_ratio, 1) as numeric)
        ) as expected_ratio,
        scaled.median_ratio,
        scaled.median_volume_ratio,
        coalesce(scaled.bar_count, 0) as bar_count,
        coalesce(scaled.primary_bar_count, 0) as primary_bar_count,
        coalesce(scaled.overlap_count, 0) as overlap_count,
        coalesce(scaled.agreeing_count, 0) as agreeing_count,
        coalesce(scaled.jump_count, 0) as jump_count,
        coalesce(scaled.primary_jump_count, 0) as primary_jump_count,
        coalesce(scaled.is_compared, false) as is_compared,
        coalesce(scaled.is_scale_break, false) as is_scale_break,
        records.verdict is not null as is_by_record,
        coalesce(records.month, scaled.month) as month
    from scaled
    full outer join records
        on
            scaled.symbol = records.symbol
            and scaled.source_id = records.source_id
            and scaled.month = records.month
    left join primary_records
        on
            scaled.symbol = primary_records.symbol
            and scaled.month = primary_records.month

)

select * from with_records
