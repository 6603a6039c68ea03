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
        -- Who jumps where the scale breaks, and alone, has applied an action by half, or late.
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
