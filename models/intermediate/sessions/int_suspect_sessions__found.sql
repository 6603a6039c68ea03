with

sessions as (

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
    from {{ ref('int_sessions__judged') }}
    where reason is not null

)

select * from sessions
