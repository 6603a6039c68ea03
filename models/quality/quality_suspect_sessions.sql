with

suspect_sessions as (

    select
        source_id,
        reason,
        bar_count,
        lost_share,
        reversal,
        volume_ratio,
        compared_count,
        wrong_count,
        trade_date
    from {{ ref('int_suspect_sessions__found') }}

)

select * from suspect_sessions
