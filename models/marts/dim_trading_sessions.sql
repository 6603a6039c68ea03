-- A table made from the seeds, the exchange's announcements, and the days that have bars. It
-- reaches some weeks ahead, for queries that are run before the next build.
{{ config(tags=['actions', 'bars']) }}

with

trading_holidays as (

    select closed_on from {{ ref('trading_holidays') }}

),

announced as (

    select * from {{ ref('int_calendar_days__announced') }}

),

announced_holidays as (

    select trade_date from announced
    where kind = 'holiday'

),

listed_years as (

    select
        list_year,
        max(list_date) as list_date
    from announced
    where list_year is not null
    group by list_year

),

calendar_end as (

    select
        greatest(
            date '{{ var("calendar_end") }}',
            coalesce(max(date(list_year, 12, 31)), date '{{ var("calendar_end") }}')
        ) as ends_on
    from listed_years

),

special_sessions as (

    select
        coalesce(announced.trade_date, seeds.trade_date) as trade_date,
        coalesce(announced.kind, seeds.kind) as kind,
        if(announced.trade_date is null, seeds.opens_at_ist, announced.opens_at_ist)
            as opens_at_ist,
        if(announced.trade_date is null, seeds.closes_at_ist, announced.closes_at_ist)
            as closes_at_ist,
        if(announced.trade_date is null, seeds.is_short, announced.is_short) as is_short,
        if(announced.trade_date is null, seeds.reason, announced.reason) as reason
    from {{ ref('special_sessions') }} as seeds
    full outer join announced
        on seeds.trade_date = announced.trade_date
    where seeds.trade_date is not null or announced.kind != 'holiday'

),

weekdays as (

    select day
    from calendar_end
    cross join
        unnest(
            generate_date_array(
                date '{{ var("calendar_start") }}',
                greatest(calendar_end.ends_on, {{ assumed_through() }})
            )
        ) as day
    where extract(dayofweek from day) between 2 and 6

),

-- A list may lack a holiday from before the day of the list, so the seeds count there. A weekday in
-- a year without seeds or a list is assumed to be a session.
regular_sessions as (

    select
        weekdays.day as trade_date,
        if(
            weekdays.day > date '{{ var("calendar_end") }}' and listed_years.list_year is null,
            'assumed',
            'regular'
        ) as kind,
        -- The pre-open session of 2010-10-18 moved the start of trading from 09:00.
        if(weekdays.day < date '2010-10-18', time '09:00:00', time '09:15:00') as opens_at_ist,
        time '15:30:00' as closes_at_ist,
        false as is_short,
        cast(null as string) as reason
    from weekdays
    left join trading_holidays
        on weekdays.day = trading_holidays.closed_on
    left join listed_years
        on extract(year from weekdays.day) = listed_years.list_year
    left join announced_holidays
        on weekdays.day = announced_holidays.trade_date
    left join special_sessions
        on weekdays.day = special_sessions.trade_date
    where
        announced_holidays.trade_date is null
        and (
            trading_holidays.closed_on is null
            or weekdays.day >= listed_years.list_date
        )
        and special_sessions.trade_date is null

),

traded_days as (

    select
        traded.trade_date,
        traded.is_session,
        max(if(traded.is_session, traded.trade_date, null)) over () as last_session
    from {{ ref('int_assumed_days__traded') }} as traded
    left join listed_years
        on extract(year from traded.trade_date) = listed_years.list_year
    where listed_years.list_year is null

),

last_traded as (

    select max(last_session) as trade_date from traded_days

),

-- An assumed session without trades is dropped once shares were traded on a later day.
held_sessions as (

    select
        regular_sessions.trade_date,
        regular_sessions.kind,
        regular_sessions.opens_at_ist,
        regular_sessions.closes_at_ist,
        regular_sessions.is_short,
        regular_sessions.reason
    from regular_sessions
    cross join last_traded
    left join traded_days
        on regular_sessions.trade_date = traded_days.trade_date
    where
        regular_sessions.kind = 'regular'
        or traded_days.trade_date is not null
        or last_traded.trade_date is null
        or regular_sessions.trade_date > last_traded.trade_date

),

-- A session on a weekend that was not announced.
unannounced_sessions as (

    select
        traded_days.trade_date,
        'traded' as kind,
        time '09:15:00' as opens_at_ist,
        time '15:30:00' as closes_at_ist,
        false as is_short,
        'The calendar ends before it; shares were traded' as reason
    from traded_days
    left join special_sessions
        on traded_days.trade_date = special_sessions.trade_date
    where
        traded_days.is_session
        and extract(dayofweek from traded_days.trade_date) in (1, 7)
        and special_sessions.trade_date is null

),

all_sessions as (

    select * from held_sessions

    union all

    select * from unannounced_sessions

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

-- A day with a record of the exchange was a session, whatever the calendar says.
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

with_bars as (

    select
        with_records.*,
        coalesce(traded_days.is_session, false) as is_traded
    from with_records
    left join traded_days
        on with_records.trade_date = traded_days.trade_date

),

numbered as (

    select
        kind,
        reason,
        row_number() over (order by trade_date) as session_number,
        is_short,
        -- If the sessions before and after have a record and this one does not, either it was no
        -- session or its file is missing.
        case
            when is_recorded then true
            when
                lag(is_recorded) over (order by trade_date)
                and lead(is_recorded) over (order by trade_date)
                then false
        end as is_recorded,
        if(kind in ('assumed', 'traded'), is_recorded or is_traded, null) as is_confirmed,
        trade_date,
        timestamp(datetime(trade_date, opens_at_ist), 'Asia/Kolkata') as opens_at,
        -- If the hours are not documented, the latest close of any known session (muhurat, 19:30).
        timestamp(
            datetime(trade_date, coalesce(closes_at_ist, time '19:30:00')), 'Asia/Kolkata'
        ) as closes_at
    from with_bars

)

select * from numbered
