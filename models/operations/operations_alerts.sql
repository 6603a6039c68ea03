with

-- Everything that the alerts need from the calendar, read once.
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
        -- A line has room for eight symbols.
        if(
            array_length(data_status.unserved_symbols) <= 8,
            array_to_string(data_status.unserved_symbols, ','),
            null
        ) as unserved_names
    from {{ ref('data_status') }} as data_status
    cross join calendar

),

-- Everything that comes from the status, read once: BigQuery runs a view again for each reference.
status_alerts as (

    select
        alert.alert_id,
        alert.severity,
        alert.subject,
        alert.symbol_count,
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
                        status.instrument_count as symbol_count,
                        if(
                            status.latest_trade_date is null,
                            'No session has a valid bar yet.',
                            concat(
                                'The latest session with a valid bar is ',
                                cast(status.latest_trade_date as string),
                                '. Number of sessions that have closed since then: ',
                                cast(array_length(status.missed_sessions) as string),
                                ', the last on ',
                                cast(status.missed_sessions[safe_offset(0)] as string),
                                '.'
                            )
                        ) as text,
                        'trading-data run' as remedy
                    ),
                    struct(
                        array_length(status.unserved_symbols) > 0 as is_raised,
                        'unserved_symbols' as alert_id,
                        -- If a fifth of the market is missing, the cause is not in single shares.
                        if(
                            array_length(status.unserved_symbols)
                            >= 0.2 * status.instrument_count,
                            'ERROR',
                            'WARNING'
                        ) as severity,
                        cast(status.assessed_trade_date as string) as subject,
                        array_length(status.unserved_symbols) as symbol_count,
                        concat(
                            'No source sent a valid bar of ',
                            cast(status.assessed_trade_date as string), ' for ',
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
                        cast(null as int64) as symbol_count,
                        concat(
                            'The quality score of ',
                            cast(status.assessed_trade_date as string), ' is ',
                            cast(status.latest_quality_score as string),
                            ', below the limit of {{ var("score_line") }}.'
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
                        array_length(status.unknown_symbols) as symbol_count,
                        concat(
                            'Number of symbols that have bars but are not our instruments: ',
                            cast(array_length(status.unknown_symbols) as string),
                            ', for example ', status.unknown_symbols[safe_offset(0)], '.'
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
                        cast(null as int64) as symbol_count,
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
                        status.latest_disputed_record_count > 0 as is_raised,
                        'dispute' as alert_id,
                        'INFO' as severity,
                        cast(status.assessed_trade_date as string) as subject,
                        status.latest_disputed_record_count as symbol_count,
                        concat(
                            'Number of bars on which Kite and Yahoo disagree: ',
                            cast(status.latest_disputed_record_count as string), ', all of ',
                            cast(status.assessed_trade_date as string),
                            '. The runs ask for the third opinion, within its daily budget.'
                        ) as text,
                        concat(
                            'trading-data query "select * from ',
                            '{{ env_var("BIGQUERY_DATASET", "") or "trading_data" }}',
                            '_quality.quality_disputes',
                            " where trade_date = '",
                            cast(status.assessed_trade_date as string), "'", '"'
                        ) as remedy
                    ),
                    struct(
                        array_length(status.unlisted_sessions) > 0 as is_raised,
                        'calendar_disputed' as alert_id,
                        'ERROR' as severity,
                        'sessions that the calendar lacks' as subject,
                        cast(null as int64) as symbol_count,
                        concat(
                            'Number of days with a record of the exchange on which the calendar',
                            ' has no session: ',
                            cast(array_length(status.unlisted_sessions) as string),
                            ', the last on ', status.unlisted_sessions[safe_offset(0)], '.'
                        ) as text,
                        'Add them to seeds/special_sessions.csv, or take them out of'
                        || ' seeds/trading_holidays.csv' as remedy
                    ),
                    struct(
                        array_length(status.unrecorded_sessions) > 0 as is_raised,
                        'calendar_disputed' as alert_id,
                        'WARNING' as severity,
                        'sessions without a record' as subject,
                        cast(null as int64) as symbol_count,
                        concat(
                            'Number of sessions in the calendar without a record of the exchange,',
                            ' although the sessions before and after have one: ',
                            cast(array_length(status.unrecorded_sessions) as string),
                            ', the last on ', status.unrecorded_sessions[safe_offset(0)], '.'
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
                            cast(null as int64) as symbol_count,
                            concat(
                                source_id, ' sent less than half of its usual number of bars in',
                                ' two or more sessions of the last ten days.'
                            ) as text,
                            'trading-data diagnose' as remedy
                        )
                    from unnest(status.stale_sources) as source_id
                )
            )
        ) as alert
    where alert.is_raised

),

-- The answers of each source to the last run that asked it for the symbol. One run may ask for a
-- symbol in several requests.
answers as (

    select
        run_id,
        source_id,
        symbol,
        logical_and(outcome = 'ok') as is_ok,
        min(if(outcome = 'ok', null, message)) as failure_message,
        min(if(outcome = 'ok', message, null)) as left_out_message,
        max(requested_at) as answered_at
    from {{ ref('stg_extract__requests') }}
    where
        extracted_at >= timestamp_sub(current_timestamp(), interval 10 day)
        and symbol is not null
        and source_id != 'alpha_vantage'
    group by run_id, source_id, symbol
    qualify
        row_number() over (
            partition by source_id, symbol order by max(requested_at) desc, run_id asc
        ) = 1

),

listed_instruments as (

    select
        symbol,
        count(*) over () as instrument_count
    from {{ ref('dim_instruments') }}
    where
        is_expected
        and coalesce(delisted_on, date '9999-12-31') >= current_date('Asia/Kolkata')

),

-- Without the third opinion, which has a daily budget and is asked again.
source_answers as (

    select
        answers.source_id,
        max(listed_instruments.instrument_count) as instrument_count,
        count(*) as asked_count,
        countif(not answers.is_ok) as failure_count,
        array_agg(
            if(answers.is_ok, null, answers.symbol) ignore nulls order by answers.symbol limit 8
        ) as failing_symbols,
        array_agg(
            if(answers.is_ok, null, answers.failure_message)
            ignore nulls order by answers.answered_at desc, answers.symbol asc limit 1
        ) as failure_messages,
        array_agg(
            answers.left_out_message ignore nulls
            order by answers.answered_at desc, answers.symbol asc limit 1
        ) as left_out_messages
    from answers
    inner join listed_instruments
        on answers.symbol = listed_instruments.symbol
    group by answers.source_id

),

described_answers as (

    select
        source_id,
        failure_count,
        failure_count / instrument_count as failing_share,
        concat(
            source_id, ' failed for ', cast(failure_count as string), ' of ',
            cast(instrument_count as string), ' symbols when it was last asked: ',
            array_to_string(failing_symbols, ', '),
            if(failure_count > array_length(failing_symbols), ', ...', ''), '. ',
            coalesce(failure_messages[safe_offset(0)], '')
        ) as text,
        coalesce(failure_messages[safe_offset(0)], '') as failure_message,
        left_out_messages[safe_offset(0)] as left_out_message
    from source_answers

),

failing_sources as (

    select
        'source_down' as alert_id,
        -- A suspended or renamed share fails every day, and another alert reports its missing bar.
        case
            when failing_share >= 0.2 then 'ERROR'
            when failing_share >= 0.05 then 'WARNING'
            else 'INFO'
        end as severity,
        source_id as subject,
        failure_count as symbol_count,
        text,
        -- The source's error message shows which remedy fits.
        case
            when failure_message like '%kite-login%'
                then 'trading-data kite-login && trading-data run'
            when failure_message like '%developers.kite.trade%'
                then 'Correct it at developers.kite.trade, then trading-data run'
            when failure_message like '%seeds/instruments.csv%'
                then 'Correct seeds/instruments.csv, then trading-data run'
            when failure_message like '%YAHOO_REQUESTS_PER_SECOND%'
                then 'Wait an hour, then trading-data run'
            else 'trading-data run'
        end as remedy
    from described_answers
    where failure_count > 0

),

-- The other rows of such an answer were received.
parts_left_out as (

    select
        'part_left_out' as alert_id,
        'INFO' as severity,
        source_id as subject,
        cast(null as int64) as symbol_count,
        concat('A part of an answer was left out. ', left_out_message) as text,
        cast(null as string) as remedy
    from described_answers
    where left_out_message is not null

),

suspect_sessions as (

    select
        if(is_repeated, 'repeated_session', 'overdue_session') as alert_id,
        if(is_repeated, 'ERROR', 'WARNING') as severity,
        source_id as subject,
        max(if(is_repeated, repeated_bar_count, provisional_bar_count)) as symbol_count,
        concat(
            if(
                is_repeated,
                concat(source_id, ' repeated the bars of the previous session as the bars of '),
                concat(source_id, ' has not yet sent final bars for all provisional ones of ')
            ),
            string_agg(
                concat(
                    cast(trade_date as string), ' (',
                    cast(
                        if(is_repeated, repeated_bar_count, provisional_bar_count) as string
                    ),
                    ' symbols)'
                ),
                ', ' order by trade_date
            ),
            '.'
        ) as text,
        concat(
            'trading-data backfill --again --source ', source_id, ' --from ',
            cast(min(trade_date) as string), ' --to ', cast(max(trade_date) as string)
        ) as remedy
    from {{ ref('quality_source_sessions') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)
        and (is_repeated or is_overdue)
    group by source_id, is_repeated

),

wrong_sessions as (

    select
        'suspect_session' as alert_id,
        'WARNING' as severity,
        source_id as subject,
        cast(null as int64) as symbol_count,
        concat(
            source_id, ' got whole sessions wrong: ',
            string_agg(
                concat(
                    cast(trade_date as string), ', ',
                    case reason
                        when 'record'
                            then concat(
                                    cast(wrong_count as string), ' of ',
                                    cast(compared_count as string),
                                    " closes differ from the exchange's"
                                )
                        when 'lost'
                            then concat(
                                    cast(round(100 * lost_share) as string),
                                    ' % of its bars only repeat the close of the session before'
                                )
                        when 'reversed' then 'its price moves are reversed at the next open'
                        else 'its volumes are far below the usual ones'
                    end
                ),
                '; ' order by trade_date
            ),
            '.'
        ) as text,
        concat(
            'trading-data backfill --again --source ', source_id, ' --from ',
            cast(min(trade_date) as string), ' --to ', cast(max(trade_date) as string)
        ) as remedy
    from {{ ref('quality_suspect_sessions') }}
    where trade_date >= date_sub(current_date('Asia/Kolkata'), interval 10 day)
    group by source_id

),

refetches as (

    select
        symbol,
        source_id
    from {{ ref('operations_refetches') }}

),

restated_symbols as (

    select
        restatements.symbol,
        restatements.source_id,
        restatements.kind,
        restatements.first_trade_date,
        restatements.last_trade_date,
        refetches.symbol is not null as is_unfetched
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

restatements as (

    select
        'restatement' as alert_id,
        if(is_unfetched, 'WARNING', 'INFO') as severity,
        concat(
            source_id, if(is_unfetched, ', not all fetched again', ', nothing left to fetch')
        ) as subject,
        count(*) as symbol_count,
        concat(
            source_id, ' rewrote the past of ',
            string_agg(
                concat(
                    symbol, ' (', kind, ', from ', cast(first_trade_date as string), ' to ',
                    cast(last_trade_date as string), ')'
                ),
                ', ' order by symbol limit 8
            ),
            if(count(*) > 8, concat(' and ', cast(count(*) - 8 as string), ' more'), ''),
            if(is_unfetched, '. Not all of it has been fetched again.', '.')
        ) as text,
        if(is_unfetched, 'trading-data run', null) as remedy
    from restated_symbols
    group by source_id, is_unfetched

),

-- An action that is not settled may change prices wrongly, or may wrongly leave them unchanged. For
-- an old one, the alert is only INFO.
unsettled as (

    select
        symbol,
        ex_date,
        status,
        if(
            status in ('contradicted', 'unreadable')
            and ex_date >= date_sub(current_date('Asia/Kolkata'), interval 45 day),
            'WARNING',
            'INFO'
        ) as severity,
        concat(
            symbol, ', ', replace(kind, '_', ' '), ' of ', cast(ex_date as string),
            ', reported by ', coalesce(reported_by, 'no source'),
            coalesce(concat(' ("', subject, '")'), ''), '. ', status_reason
        ) as description
    from {{ ref('fct_corporate_actions') }}
    where
        status in ('contradicted', 'unreadable')
        or (
            status = 'reported'
            and kind not in ('dividend', 'rights', 'demerger', 'capital_reduction')
        )

),

unsettled_actions as (

    select
        'unsettled_action' as alert_id,
        severity,
        concat(status, if(severity = 'INFO', '', ' recently')) as subject,
        count(*) as symbol_count,
        concat(
            if(
                count(*) = 1, 'A corporate action is ',
                concat(cast(count(*) as string), ' corporate actions are ')
            ),
            status, ': ',
            string_agg(description, ' ' order by ex_date desc, symbol asc limit 3),
            if(count(*) > 3, concat(' And ', cast(count(*) - 3 as string), ' more.'), '')
        ) as text,
        concat(
            'trading-data query "select * from ',
            '{{ env_var("BIGQUERY_DATASET", "") or "trading_data" }}.fct_corporate_actions',
            " where status = '", status, "' order by ex_date desc", '"'
        ) as remedy
    from unsettled
    group by status, severity

),

-- What this month's commands were billed, and which failures stand: that of a run until a later run
-- ends well, that of any other command until a later command does. All in one reading.
commands as (

    select
        *,
        row_number() over (order by started_at desc, run_id asc) = 1 as is_last,
        sum(
            if(
                started_at
                >= timestamp(date_trunc(current_date('Asia/Kolkata'), month), 'Asia/Kolkata'),
                bytes_billed,
                0
            )
        ) over () as month_bytes_billed,
        max(if(exit_status in (0, 3), started_at, null)) over () as good_at,
        max(if(exit_status in (0, 3) and command = 'run', started_at, null)) over () as good_run_at,
        command in ('run', 'extract', 'backfill', 'import', 'replay', 'build')
        and (
            -- A mistyped command, or one that a person stopped, needs no alert: that person knows.
            exit_status not in (0, 2, 3, 130)
            -- A command without a report still runs or was killed; none takes an hour.
            or (
                exit_status is null
                and started_at < timestamp_sub(current_timestamp(), interval 1 hour)
            )
        ) as has_failed
    from {{ ref('operations_runs') }}

),

ranked_commands as (

    select
        *,
        has_failed
        and started_at > coalesce(
            if(command = 'run', good_run_at, good_at), timestamp '1970-01-01 00:00:00+00'
        )
        and row_number() over (
            partition by command, has_failed order by started_at desc, run_id asc
        ) = 1 as is_open
    from commands

),

run_alerts as (

    select
        alert.alert_id,
        alert.severity,
        alert.subject,
        alert.symbol_count,
        alert.text,
        alert.remedy
    from ranked_commands
    cross join
        unnest(
            [
                struct(
                    is_open as is_raised,
                    'run_failed' as alert_id,
                    'ERROR' as severity,
                    command as subject,
                    cast(null as int64) as symbol_count,
                    concat(
                        'The last ', command,
                        if(exit_status is null, ' was killed', ' failed'),
                        ' (', run_id, '). ', coalesce(reason, '')
                    ) as text,
                    if(
                        command in ('run', 'build'),
                        concat('trading-data ', command),
                        concat('Repeat the same trading-data ', command)
                    ) as remedy
                ),
                struct(
                    is_last and month_bytes_billed > 0.8 * {{ var('monthly_bytes_budget') }}
                        as is_raised,
                    'budget' as alert_id,
                    if(
                        month_bytes_billed > {{ var('monthly_bytes_budget') }},
                        'ERROR',
                        'WARNING'
                    ) as severity,
                    'bigquery' as subject,
                    cast(null as int64) as symbol_count,
                    concat(
                        'BigQuery has billed ',
                        cast(round(month_bytes_billed / 1e9, 1) as string),
                        ' gigabytes for the builds of this month; the budget is ',
                        cast(round({{ var('monthly_bytes_budget') }} / 1e9, 1) as string), '.'
                    ) as text,
                    'trading-data diagnose' as remedy
                )
            ]
        ) as alert
    where alert.is_raised

),

disputed_days as (

    select
        'calendar_disputed' as alert_id,
        'WARNING' as severity,
        'the list of holidays' as subject,
        cast(null as int64) as symbol_count,
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
            '. A day that the list closes is a holiday. A day that only the seeds close is one if',
            ' it is before the date of the list.'
        ) as text,
        'Correct seeds/trading_holidays.csv and seeds/special_sessions.csv, or import the correct'
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
    select * from run_alerts
    union all
    select * from disputed_days

)

select * from alerts
