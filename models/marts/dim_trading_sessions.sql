-- A table of seeds, and of the days of which the exchange has a record.
{{ config(tags=['actions']) }}

with

trading_holidays as (

    select closed_on from {{ ref('trading_holidays') }}

),

special_sessions as (

    select * from {{ ref('special_sessions') }}

),

weekdays as (

    select day
    from
        unnest(
            generate_date_array(
                date '{{ var("calendar_start") }}', date '{{ var("calendar_end") }}'
            )
        ) as day
    where extract(dayofweek from day) between 2 and 6

),

regular_sessions as (

    select
        weekdays.day as trade_date,
        'regular' as kind,
        -- The pre-open session of 2010-10-18 moved the start of trading from 09:00.
        if(weekdays.day < date '2010-10-18', time '09:00:00', time '09:15:00') as opens_at_ist,
        time '15:30:00' as closes_at_ist,
        false as is_short,
        cast(null as string) as reason
    from weekdays
    left join trading_holidays
        on weekdays.day = trading_holidays.closed_on
    left join special_sessions
        on weekdays.day = special_sessions.trade_date
    where
        trading_holidays.closed_on is null
        and special_sessions.trade_date is null

),

all_sessions as (

    select
        trade_date,
        kind,
        opens_at_ist,
        closes_at_ist,
        is_short,
        reason
    from regular_sessions

    union all

    select
        trade_date,
        kind,
        opens_at_ist,
        closes_at_ist,
        is_short,
        reason
    from special_sessions

),

-- A day of which the exchange has a record was a session, whatever the calendar says.
with_records as (

    select
        coalesce(calendar.trade_date, records.trade_date) as trade_date,
        coalesce(calendar.kind, 'recorded') as kind,
        coalesce(
            calendar.opens_at_ist, if(calendar.trade_date is null, time '09:15:00', null)
        ) as opens_at_ist,
        coalesce(
            calendar.closes_at_ist, if(calendar.trade_date is null, time '15:30:00', null)
        ) as closes_at_ist,
        coalesce(calendar.is_short, false) as is_short,
        if(
            calendar.trade_date is null, 'The calendar does not have it; the exchange has a record',
            calendar.reason
        ) as reason,
        records.trade_date is not null as is_recorded
    from all_sessions as calendar
    full outer join {{ ref('int_exchange_sessions') }} as records
        on calendar.trade_date = records.trade_date

),

numbered as (

    select
        kind,
        reason,
        row_number() over (order by trade_date) as session_number,
        is_short,
        -- Between two sessions that have a record, one without was none, or its file is missing.
        case
            when is_recorded then true
            when
                lag(is_recorded) over (order by trade_date)
                and lead(is_recorded) over (order by trade_date)
                then false
        end as is_recorded,
        trade_date,
        timestamp(datetime(trade_date, opens_at_ist), 'Asia/Kolkata') as opens_at,
        -- Where the hours are not documented, the latest end of any known session (muhurat, 19:30).
        timestamp(
            datetime(trade_date, coalesce(closes_at_ist, time '19:30:00')), 'Asia/Kolkata'
        ) as closes_at
    from with_records

)

select * from numbered
