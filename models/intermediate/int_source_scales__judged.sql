with

measured as (

    select
        *,
        case
            when overlap_count < {{ var('scale_minimum_overlap') }} then null
            -- A month in which an adjustment begins or ends has two ratios and no median.
            when agreeing_count < 0.8 * overlap_count then 'unstable'
            when abs(median_ratio - 1) > {{ var('scale_tolerance') }} then 'apart'
            else 'same'
        end as own_verdict
    from {{ ref('int_source_scales__measured') }}

),

judged as (

    select
        symbol,
        source_id,
        coalesce(
            own_verdict,
            -- A month without its own comparison continues the one before it; what lies before the
            -- first comparison is judged by that.
            last_value(own_verdict ignore nulls) over (
                partition by symbol, source_id
                order by month
                rows between unbounded preceding and current row
            ),
            first_value(own_verdict ignore nulls) over (
                partition by symbol, source_id
                order by month
                rows between current row and unbounded following
            ),
            -- Without any bar of the primary source there is nothing to be off scale with.
            if(
                sum(primary_bar_count) over (partition by symbol, source_id) = 0, 'alone', 'thin'
            )
        ) as verdict,
        median_ratio,
        bar_count,
        primary_bar_count,
        overlap_count,
        agreeing_count,
        own_verdict is not null as is_compared,
        month
    from measured

)

select * from judged
