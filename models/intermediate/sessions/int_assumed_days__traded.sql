with

-- The end of the seeds' calendar is a constant, so that BigQuery prunes partitions by it. The bars
-- of the weeks before it show how many shares are usual.
bars as (

    select
        symbol,
        source_id,
        close,
        volume,
        lag(close) over of_source as last_close,
        lag(volume) over of_source as last_volume,
        trade_date
    from {{ ref('fct_daily_bar_revisions') }}
    where
        trade_date >= date_sub(
            date '{{ var("calendar_end") }}', interval {{ var("context_days") }} day
        )
        and known_to is null
        and close > 0
    window of_source as (partition by symbol, source_id order by trade_date, known_from)

),

-- Yahoo shows holidays as bars without volume, or as repeats of the day before.
traded as (

    select
        trade_date,
        count(distinct symbol) as symbol_count
    from bars
    where
        volume > 0
        and not coalesce(close = last_close and volume = last_volume, false)
    group by trade_date

),

with_usual as (

    select
        trade_date,
        symbol_count,
        max(symbol_count) over near_days as usual_symbol_count
    from traded
    window
        near_days as (
            order by unix_date(trade_date)
            range between {{ var("context_days") }} preceding
            and {{ var("context_days") }} following
        )

),

judged as (

    select
        symbol_count,
        usual_symbol_count,
        symbol_count >= 0.5 * usual_symbol_count as is_session,
        trade_date
    from with_usual

)

select * from judged
where trade_date > date '{{ var("calendar_end") }}'
