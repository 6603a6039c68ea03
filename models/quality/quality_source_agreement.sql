with

scales as (

    select * from {{ ref('int_source_scales__judged') }}

),

primary_source as (

    select source_id from {{ ref('int_sources__ranked') }}
    where is_primary

),

agreement as (

    select
        scales.symbol,
        scales.source_id,
        scales.verdict,
        -- If only one source jumps where the scale breaks, it has applied an action late or to a
        -- part of its past.
        case
            when not scales.is_scale_break then null
            when scales.jump_count > 0 and scales.primary_jump_count = 0 then scales.source_id
            when scales.primary_jump_count > 0 and scales.jump_count = 0
                then primary_source.source_id
        end as likely_wrong_source_id,
        scales.median_ratio,
        scales.price_ratio,
        scales.volume_ratio,
        scales.bar_count,
        scales.primary_bar_count,
        scales.overlap_count,
        scales.agreeing_count,
        coalesce(records.overlap_count, 0) as exchange_overlap_count,
        coalesce(records.level_count, 0) as exchange_level_count,
        coalesce(records.return_count, 0) as exchange_return_count,
        coalesce(records.agreeing_return_count, 0) as exchange_agreeing_return_count,
        scales.is_compared,
        scales.is_scale_break,
        scales.is_by_record,
        scales.month
    from scales
    cross join primary_source
    left join {{ ref('int_exchange_scales__measured') }} as records
        on
            scales.symbol = records.symbol
            and scales.source_id = records.source_id
            and scales.month = records.month

)

select * from agreement
