with

-- All that the alerts want of the calendar, in one reading of it.
calendar as (

    select
        array_agg(
            if(
                closes_at < timestamp_sub(
                    current_timestamp(), interval {{ var('late_after_hours') }} hour
                ),
                trade_date,
                null
            )
            ignore nulls order by trade_date desc
        ) as overdue_sessions,
        array_agg(
            if(kind = 'recorded', cast(trade_date as string), null)
            ignore nulls order by trade_date desc
        ) as unlisted_sessions,
        array_agg(
            if(is_recorded is false, cast(trade_date as string), null)
            ignore nulls order by trade_date desc
        ) as unrecorded_sessions
    from {{ ref('dim_trading_sessions') }}

),

status as (

    select
        data_status.*,
        array(
            select trade_date from unnest(calendar.overdue_sessions) as trade_date
            where trade_date > coalesce(data_status.latest_trade_date, date '1900-01-01')
            order by trade_date desc
        ) as missed_sessions,
        calendar.unlisted_sessions,
        calendar.unrecorded_sessions,
        -- As many names as a line holds.
        if(
            array_length(data_status.unserved_symbols) <= 8,
            array_to_string(data_status.unserved_symbols, ','),
            null
        ) as unserved_names
    from {{ ref('data_status') }} as data_status
    cross join calendar

),

-- All that the status tells, in one reading of it: BigQuery runs a view once for each reference.
status_alerts as (

    select
        alert.alert_id,
        alert.severity,
        alert.subject,
        alert.text,
        alert.remedy
    from status
    cross join
        unnest(
            array_concat(
                [
                    struct(
                        array_length(status.missed_sessions) > 0 as is_raised,
                        'late_data' as alert_id,
                        if(
                            status.latest_trade_date is null
                            or array_length(status.missed_sessions) > 1,
                            'CRITICAL',
                            'ERROR'
                        ) as severity,
                        cast(status.missed_sessions[safe_offset(0)] as string) as subject,
                        if(
                            status.latest_trade_date is null,
                            'No session has a valid bar: nothing has come yet.',
                            concat(
                                'The latest session here is ',
                                cast(status.latest_trade_date as string),
                                '; since then ',
                                cast(array_length(status.missed_sessions) as string),
                                ' closed, the last on ',
                                cast(status.missed_sessions[safe_offset(0)] as string),
                                '.'
                            )
                        ) as text,
                        'trading-data run' as remedy
                    ),
                    struct(
                        array_length(status.unserved_symbols) > 0 as is_raised,
                        'unserved_symbols' as alert_id,
                        'WARNING' as severity,
                        cast(status.assessed_trade_date as string) as subject,
                        concat(
                            'No valid bar of ', cast(status.assessed_trade_date as string), ': ',
                            coalesce(
                                status.unserved_names,
                                concat(
                                    cast(array_length(status.unserved_symbols) as string),
                                    ' symbols'
                                )
                            ),
                            '.'
                        ) as text,
                        concat(
                            'trading-data backfill --again --from ',
                            cast(status.assessed_trade_date as string),
                            ' --to ', cast(status.assessed_trade_date as string),
                            coalesce(concat(' --symbols "', status.unserved_names, '"'), '')
                        ) as remedy
                    ),
                    struct(
                        status.latest_quality_score < {{ var('score_line') }} as is_raised,
                        'low_score' as alert_id,
                        'WARNING' as severity,
                        cast(status.assessed_trade_date as string) as subject,
                        concat(
                            'The score of ', cast(status.assessed_trade_date as string), ' is ',
                            cast(status.latest_quality_score as string),
                            ', below {{ var("score_line") }}.'
                        ) as text,
                        concat(
                            'trading-data query "select check_id, count(*) as bars from ',
                            '{{ env_var("BIGQUERY_DATASET", "") or "trading_data" }}',
                            '_quality.quality_bar_checks',
                            " where status = 'failed' and trade_date = '",
                            cast(status.assessed_trade_date as string),
                            "' group by check_id", '"'
                        ) as remedy
                    ),
                    struct(
                        array_length(status.unknown_symbols) > 0 as is_raised,
                        'unknown_symbols' as alert_id,
                        'WARNING' as severity,
                        'instruments' as subject,
                        concat(
                            cast(array_length(status.unknown_symbols) as string),
                            ' symbols with bars are none of ours, ',
                            status.unknown_symbols[safe_offset(0)], ' among them.'
                        ) as text,
                        'Add them to seeds/former_identifiers.csv, or to seeds/instruments.csv'
                            as remedy
                    ),
                    struct(
                        status.calendar_ends_on
                        < date_add(current_date('Asia/Kolkata'), interval 60 day) as is_raised,
                        'calendar_ends' as alert_id,
                        -- The exchange announces the next year's holidays in December.
                        case
                            when status.calendar_ends_on < current_date('Asia/Kolkata')
                                then 'CRITICAL'
                            when
                                status.calendar_ends_on
                                < date_add(current_date('Asia/Kolkata'), interval 14 day)
                                then 'WARNING'
                            else 'INFO'
                        end as severity,
                        'calendar' as subject,
                        concat(
                            'The trading calendar ends on ',
                            cast(status.calendar_ends_on as string),
                            ': each weekday after it is assumed to be a session.'
                        ) as text,
                        concat(
                            "Download the exchange's list of the holidays of ",
                            cast(extract(year from status.calendar_ends_on) + 1 as string),
                            ', then trading-data import FILE'
                        ) as remedy
                    ),
                    struct(
                        array_length(status.unlisted_sessions) > 0 as is_raised,
                        'calendar_disputed' as alert_id,
                        'ERROR' as severity,
                        'sessions that the calendar lacks' as subject,
                        concat(
                            'The exchange has a record of ',
                            cast(array_length(status.unlisted_sessions) as string),
                            ' days that the calendar does not have, the last ',
                            status.unlisted_sessions[safe_offset(0)], '.'
                        ) as text,
                        'Add them to seeds/special_sessions.csv, or take them out of'
                        || ' seeds/trading_holidays.csv' as remedy
                    ),
                    struct(
                        array_length(status.unrecorded_sessions) > 0 as is_raised,
                        'calendar_disputed' as alert_id,
                        'WARNING' as severity,
                        'sessions without a record' as subject,
                        concat(
                            'The exchange has no record of ',
                            cast(array_length(status.unrecorded_sessions) as string),
                            ' sessions of the calendar, and has one of the sessions before and',
                            ' after each. The last is ', status.unrecorded_sessions[safe_offset(0)],
                            '.'
                        ) as text,
                        'Import the files of these days; where the exchange has none, add the'
                        || ' days to seeds/trading_holidays.csv' as remedy
                    )
                ],
                array(
                    select
                        struct(
                            true as is_raised,
                            'stale_source' as alert_id,
                            'WARNING' as severity,
                            source_id as subject,
                            concat(
                                source_id, ' sent less than half of its bars of two sessions or',
                                ' more of the last ten days.'
                            ) as text,
                            'trading-data diagnose' as remedy
                        )
                    from unnest(status.stale_sources) as source_id
                )
            )
        ) as alert
    where alert.is_raised

),

last_requests as (

    select
        run_id,
        source_id,
        symbol_count,
        ok_count,
        failure_message,
        left_out_message
    from {{ ref('operations_extractions') }}
    qualify first_value(run_id) over (order by started_at desc, run_id asc) = run_id

),

sources as (

    select source_id from {{ ref('source_precedence') }}
    group by source_id

),

-- The third opinion is none of them: it has a budget, and is asked again.
failing_sources as (

    select
        'source_down' as alert_id,
        -- A share that is suspended or renamed fails each day, and its bar is another alert's.
        case
            when last_requests.ok_count = 0 then 'ERROR'
            when last_requests.ok_count < 0.9 * last_requests.symbol_count then 'WARNING'
            else 'INFO'
        end as severity,
        last_requests.source_id as subject,
        concat(
            last_requests.source_id, ' served ', cast(last_requests.ok_count as string), ' of ',
            cast(last_requests.symbol_count as string), ' symbols in the last run. ',
            coalesce(last_requests.failure_message, '')
        ) as text,
        -- What the source was told to be wanting says itself what mends it.
        case
            when last_requests.failure_message like '%kite-login%'
                then 'trading-data kite-login, then trading-data run'
            when last_requests.failure_message like '%developers.kite.trade%'
                then 'Mend it at developers.kite.trade, then trading-data run'
            when last_requests.failure_message like '%seeds/instruments.csv%'
                then 'Correct seeds/instruments.csv, then trading-data run'
            when last_requests.failure_message like '%YAHOO_REQUESTS_PER_SECOND%'
                then 'Wait an hour, then trading-data run'
            else 'trading-data run'
        end as remedy
    from last_requests
    inner join sources
        on last_requests.source_id = sources.source_id
    where last_requests.ok_count < last_requests.symbol_count

),

-- The rest of such an answer is here.
parts_left_out as (

    select
        'part_left_out' as alert_id,
        'INFO' as severity,
        source_id as subject,
        concat('A part of an answer was left out in the last run. ', left_out_message) as text,
        cast(null as string) as remedy
    from last_requests
    where left_out_message is not null

),

suspect_sessions as (

    select
        if(is_repeated, 'repeated_session', 'overdue_session') as alert_id,
        if(is_repeated, 'ERROR', 'WARNING') as severity,
        concat(source_id, ' ', cast(trade_date as string)) as subject,
        if(
            is_repeated,
            concat(
                source_id, ' sent the bars of the session before again for ',
                cast(repeated_bar_count as string), ' symbols as those of ',
                cast(trade_date as string), '.'
            ),
            concat(
                cast(provisional_bar_count as string), ' bars of ', source_id, ' of ',
                cast(trade_date as string), ' are still provisional.'
            )
        ) as text,
        concat(
            'trading-data backfill --again --source ', source_id, ' --from ',
            cast(trade_date as string), ' --to ', cast(trade_date as string)
        ) as remedy
    from {{ ref('quality_source_sessions') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)
        and (is_repeated or is_overdue)

),

wrong_sessions as (

    select
        'suspect_session' as alert_id,
        'WARNING' as severity,
        concat(source_id, ' ', cast(trade_date as string)) as subject,
        concat(
            source_id, ' got the session of ', cast(trade_date as string), ' wrong: ',
            case reason
                when 'record'
                    then concat(
                            cast(wrong_count as string), ' of ', cast(compared_count as string),
                            " closes are not the exchange's."
                        )
                when 'lost'
                    then concat(
                            cast(round(100 * lost_share) as string),
                            ' % of its bars repeat the close before, without a move.'
                        )
                when 'reversed' then 'its closes come back with the next open.'
                else 'its volumes are far under usual.'
            end
        ) as text,
        concat(
            'trading-data backfill --again --source ', source_id, ' --from ',
            cast(trade_date as string), ' --to ', cast(trade_date as string)
        ) as remedy
    from {{ ref('quality_suspect_sessions') }}
    where trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)

),

refetches as (

    select
        symbol,
        source_id
    from {{ ref('operations_refetches') }}

),

restatements as (

    select
        'restatement' as alert_id,
        if(refetches.symbol is null, 'INFO', 'WARNING') as severity,
        concat(restatements.source_id, ' ', restatements.symbol) as subject,
        concat(
            restatements.source_id, ' rewrote the past of ', restatements.symbol, ' from ',
            cast(restatements.first_trade_date as string), ' to ',
            cast(restatements.last_trade_date as string), ' (', restatements.kind, ')',
            if(refetches.symbol is null, '.', ', and has not sent all of it anew.')
        ) as text,
        if(refetches.symbol is null, null, 'trading-data run') as remedy
    from {{ ref('fct_price_restatements') }} as restatements
    left join refetches
        on
            restatements.symbol = refetches.symbol
            and restatements.source_id = refetches.source_id
    where
        refetches.symbol is not null
        or restatements.detected_at >= timestamp_sub(current_timestamp(), interval 48 hour)
    qualify
        row_number() over (
            partition by restatements.symbol, restatements.source_id
            order by restatements.detected_at desc
        ) = 1

),

-- In the last session with a valid bar. A join to `status` would read all that is under it twice.
bars_apart as (

    select
        countif('agrees_with_other_source' in unnest(failed_checks)) as bar_count,
        trade_date
    from {{ ref('fct_daily_bars') }}
    where trade_date >= date_sub(current_date('Asia/Kolkata'), interval 160 day)
    group by trade_date
    having countif(is_valid) > 0
    qualify row_number() over (order by trade_date desc) = 1

),

-- What is not settled changes prices by mistake, or fails to. An old one stays to be looked at, and
-- wakes nobody.
unsettled_actions as (

    select
        'unsettled_action' as alert_id,
        if(
            status in ('contradicted', 'unreadable')
            and ex_date >= date_sub(current_date('Asia/Kolkata'), interval 45 day),
            'WARNING',
            'INFO'
        ) as severity,
        concat(symbol, ' ', kind, ' ', cast(ex_date as string)) as subject,
        concat(
            symbol, ', ', replace(kind, '_', ' '), ' of ', cast(ex_date as string),
            ', reported by ', coalesce(reported_by, 'nobody'),
            coalesce(concat(' ("', subject, '")'), ''), ': ', status, '. ', status_reason
        ) as text,
        concat(
            'trading-data query "select * from ',
            '{{ env_var("BIGQUERY_DATASET", "") or "trading_data" }}.fct_corporate_actions',
            " where symbol = '", symbol, "' order by ex_date", '"'
        ) as remedy
    from {{ ref('fct_corporate_actions') }}
    where
        status in ('contradicted', 'unreadable')
        or (status = 'reported' and kind = 'share_event')

),

disputes as (

    select
        'dispute' as alert_id,
        'INFO' as severity,
        cast(trade_date as string) as subject,
        concat(
            'Kite and Yahoo are apart on ', cast(bar_count as string), ' bars of ',
            cast(trade_date as string), '; the third opinion is asked within its budget.'
        ) as text,
        concat(
            'trading-data query "select * from ',
            '{{ env_var("BIGQUERY_DATASET", "") or "trading_data" }}_quality.quality_disputes',
            " where trade_date = '", cast(trade_date as string), "'", '"'
        ) as remedy
    from bars_apart
    where bar_count > 0

),

last_run as (

    select
        run_id,
        command,
        reason,
        exit_status,
        started_at
    from {{ ref('operations_runs') }}
    where command in ('run', 'backfill', 'build')
    qualify row_number() over (order by started_at desc, run_id asc) = 1

),

failed_run as (

    select
        'run_failed' as alert_id,
        'ERROR' as severity,
        run_id as subject,
        concat(
            'The last ', command, if(exit_status is null, ' was killed', ' failed'),
            ' (', run_id, '). ', coalesce(reason, '')
        ) as text,
        concat('trading-data ', command) as remedy
    from last_run
    where
        exit_status not in (0, 3, 130)
        -- Without a report it is on its way, or was killed; none takes an hour.
        or (
            exit_status is null
            and started_at < timestamp_sub(current_timestamp(), interval 1 hour)
        )

),

billed as (

    select sum(bytes_billed) as bytes_billed from {{ ref('operations_runs') }}
    where
        started_at
        >= timestamp(date_trunc(current_date('Asia/Kolkata'), month), 'Asia/Kolkata')

),

budget as (

    select
        'budget' as alert_id,
        if(bytes_billed > {{ var('monthly_bytes_budget') }}, 'ERROR', 'WARNING') as severity,
        'bigquery' as subject,
        concat(
            'The builds of this month were billed ', cast(round(bytes_billed / 1e9, 1) as string),
            ' of ', cast(round({{ var('monthly_bytes_budget') }} / 1e9, 1) as string), ' gigabytes.'
        ) as text,
        'trading-data diagnose' as remedy
    from billed
    where bytes_billed > 0.8 * {{ var('monthly_bytes_budget') }}

),

disputed_days as (

    select
        'calendar_disputed' as alert_id,
        'WARNING' as severity,
        'the list of holidays' as subject,
        concat(
            "The exchange's list of holidays and the seeds differ on ",
            string_agg(
                concat(
                    cast(trade_date as string),
                    if(is_closed_by_list, ' (closed by the list)', ' (closed by the seeds)')
                ),
                ', ' order by trade_date desc
                limit 8
            ),
            if(count(*) > 8, concat(' and ', cast(count(*) - 8 as string), ' more days'), ''),
            '. A closure of the list holds; one of the seeds alone, before the day of the list.'
        ) as text,
        'Correct seeds/trading_holidays.csv and seeds/special_sessions.csv, or import the right'
        || ' list' as remedy
    from {{ ref('int_calendar_days__disputed') }}
    having count(*) > 0

),

alerts as (

    select * from status_alerts
    union all
    select * from failing_sources
    union all
    select * from parts_left_out
    union all
    select * from suspect_sessions
    union all
    select * from wrong_sessions
    union all
    select * from restatements
    union all
    select * from unsettled_actions
    union all
    select * from disputes
    union all
    select * from failed_run
    union all
    select * from budget
    union all
    select * from disputed_days

)

select * from alerts
