with

reports as (

    select
        run_id,
        command,
        reason,
        exit_status,
        request_count,
        failed_request_count,
        landed_row_count,
        built_node_count,
        failed_node_count,
        bytes_processed,
        bytes_billed,
        started_at,
        ended_at
    from {{ ref('stg_extract__runs') }}
    where extracted_at >= timestamp_sub(current_timestamp(), interval 90 day)

),

-- The requests of a command that was killed or still runs, as far as they are in the ledger.
requests as (

    select
        run_id,
        sum(attempt_count) as request_count,
        sum(refused_count + unavailable_count) as failed_request_count,
        min(started_at) as started_at
    from {{ ref('operations_extractions') }}
    group by run_id

),

joined as (

    select
        coalesce(reports.run_id, requests.run_id) as run_id,
        -- A run's id begins with its command.
        coalesce(
            reports.command, regexp_extract(requests.run_id, r'^([a-z-]+)-[0-9]{8}T')
        ) as command,
        reports.reason,
        reports.exit_status,
        coalesce(reports.request_count, requests.request_count, 0) as request_count,
        coalesce(reports.failed_request_count, requests.failed_request_count, 0)
            as failed_request_count,
        reports.landed_row_count,
        reports.built_node_count,
        reports.failed_node_count,
        reports.bytes_processed,
        reports.bytes_billed,
        timestamp_diff(reports.ended_at, reports.started_at, millisecond) / 1000
            as elapsed_seconds,
        coalesce(reports.started_at, requests.started_at) as started_at,
        reports.ended_at
    from reports
    full outer join requests
        on reports.run_id = requests.run_id

)

select * from joined
