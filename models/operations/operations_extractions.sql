with

requests as (

    select
        run_id,
        source_id,
        symbol,
        outcome,
        message,
        attempts,
        row_count,
        requested_at
    from {{ ref('stg_extract__requests') }}
    where extracted_at >= timestamp_sub(current_timestamp(), interval 90 day)

),

summed as (

    select
        run_id,
        source_id,
        min(if(outcome = 'ok', null, message)) as failure_message,
        min(if(outcome = 'ok', message, null)) as left_out_message,
        count(distinct symbol) as symbol_count,
        count(distinct symbol) - count(distinct if(outcome = 'ok', null, symbol)) as ok_count,
        countif(outcome = 'empty') as empty_count,
        countif(outcome = 'refused') as refused_count,
        countif(outcome = 'unavailable') as unavailable_count,
        countif(outcome = 'skipped') as skipped_count,
        sum(attempts) as attempt_count,
        sum(row_count) as row_count,
        min(requested_at) as started_at
    from requests
    group by run_id, source_id

)

select * from summed
