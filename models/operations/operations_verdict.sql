with

alerts as (

    select
        alert_id,
        severity,
        subject,
        symbol_count,
        text,
        remedy,
        case severity
            when 'CRITICAL' then 1
            when 'ERROR' then 2
            when 'WARNING' then 3
            else 4
        end as place
    from {{ ref('operations_alerts') }}

),

judged as (

    select
        case
            when min(place) <= 2 then 'wrong'
            when min(place) = 3 then 'incomplete'
            else 'ok'
        end as verdict,
        array_agg(
            struct(
                alert_id as alert_id,
                severity as severity,
                subject as subject,
                symbol_count as symbol_count,
                text as text,
                remedy as remedy
            )
            order by place asc, symbol_count desc, alert_id asc, subject asc
        ) as reasons
    from alerts

)

select * from judged
