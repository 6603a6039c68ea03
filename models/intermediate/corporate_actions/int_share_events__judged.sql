-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

gathered as (

    select * from {{ ref('int_share_events__gathered') }}

),

candidates as (

    select
        gathered.*,
        claim.claimed_by,
        claim.share_ratio as claimed_ratio
    from gathered
    cross join
        unnest([
            struct('nse' as claimed_by, gathered.official_ratio as share_ratio),
            struct('yahoo' as claimed_by, gathered.yahoo_ratio as share_ratio),
            struct(
                'restatement' as claimed_by,
                coalesce(
                    gathered.shown_ratio,
                    round(1 / gathered.primary_ratio, 6),
                    round(1 / gathered.fallback_ratio, 6)
                ) as share_ratio
            ),
            struct('step' as claimed_by, gathered.exchange_share_ratio as share_ratio)
        ]) as claim
    where claim.share_ratio > 0

),

-- The step of a small bonus cannot be told from a move of the day; the step of a split can.
compared as (

    select
        *,
        {{ is_step_of('primary_step', '(-ln(claimed_ratio))') }} as is_primary_step,
        {{ is_step_of('fallback_step', '(-ln(claimed_ratio))') }} as is_fallback_step,
        {{ is_step_of(
            'coalesce(primary_retold_step, fallback_retold_step)', '(-ln(claimed_ratio))'
        ) }} as is_retold_step,
        -- A source's restatement may include a dividend of the same day.
        abs(primary_ratio * claimed_ratio - 1)
        <= if(abs(ln(claimed_ratio)) > 0.3, 0.06, 0.02) as is_primary_ratio,
        abs(fallback_ratio * claimed_ratio - 1)
        <= if(abs(ln(claimed_ratio)) > 0.3, 0.06, 0.02) as is_fallback_ratio,
        -- A step in the exchange's record that a source has taken out of its past.
        abs(exchange_ratio * claimed_ratio - 1)
        <= if(abs(ln(claimed_ratio)) > 0.3, 0.06, 0.02) as is_exchange_ratio,
        abs(ln(claimed_ratio)) > 0.3 as is_large
    from candidates

),

-- What the sources have restated is exact, and a step is not: a step does not bear out a ratio that
-- no restatement shows.
agreed as (

    select
        *,
        coalesce(
            is_primary_ratio or is_fallback_ratio,
            is_primary_ratio,
            is_fallback_ratio,
            true
        ) as is_as_restated
    from compared

),

weighed as (

    select
        *,
        coalesce(is_primary_ratio and claimed_by != 'restatement', false)
        or coalesce(is_exchange_ratio, false)
        or coalesce(is_primary_step and is_as_restated, false)
        or coalesce(
            is_fallback_step
            and is_as_restated
            and not (is_large and not coalesce(is_primary_step, true)),
            false
        )
        or (
            (
                coalesce(is_fallback_ratio and claimed_by != 'restatement', false)
                or coalesce(is_retold_step and is_large, false)
            )
            and coalesce(is_primary_step, true)
            and coalesce(is_fallback_step, true)
        ) as is_borne_out,
        coalesce(
            not is_exchange_ratio
            or (is_large and not is_primary_step)
            or (is_large and not is_fallback_step)
            or not is_primary_ratio
            or not is_fallback_ratio
            -- Yahoo alone tells it, and the primary source's price is nearer to where it was.
            or (
                claimed_by = 'yahoo'
                and primary_ratio is null
                and abs(ln(primary_step)) < abs(ln(primary_step) + ln(claimed_ratio))
            ),
            false
        ) as is_doubted
    from agreed

),

-- The claim that the prices confirm; else the exchange's, then Yahoo's, then what a step in the
-- record or a restatement implies.
best as (

    select * from weighed
    qualify
        row_number() over (
            partition by symbol, ex_date
            order by
                is_borne_out desc,
                case claimed_by when 'nse' then 0 when 'yahoo' then 1 when 'step' then 2 else 3 end
        ) = 1

),

-- If the prices confirm the ratio of a source's restatement or of a step in the exchange's record,
-- they deny a different ratio that was reported for the day.
with_denials as (

    select
        * except (is_doubted),
        coalesce(official_ratio, yahoo_ratio) as reported_ratio,
        if(
            claimed_by in ('restatement', 'step'),
            coalesce(official_ratio, yahoo_ratio) is not null,
            is_doubted
        ) as is_denied
    from best

),

with_status as (

    select
        *,
        case
            when is_coming and not is_withdrawn then 'announced'
            when is_borne_out and not (claimed_by in ('restatement', 'step') and is_denied)
                then 'confirmed'
            when claimed_by = 'restatement' and shown_ratio is not null and not is_denied
                then 'confirmed'
            when is_withdrawn and not is_by_yahoo then 'withdrawn'
            when is_denied then 'contradicted'
            when claimed_by = 'yahoo' and (is_repeat or is_unlisted) then 'contradicted'
            when abs(official_ratio / yahoo_ratio - 1) <= 0.001 then 'confirmed'
            else 'reported'
        end as status
    from with_denials

),

-- The exchange's record could not be read, and no other source reports the event.
unread as (

    select
        gathered.symbol,
        gathered.subject,
        gathered.is_withdrawn,
        gathered.is_coming,
        gathered.ex_date,
        gathered.reported_at
    from gathered
    left join best
        on gathered.symbol = best.symbol and gathered.ex_date = best.ex_date
    where best.symbol is null

),

judged as (

    select
        symbol,
        status,
        case
            when status = 'announced'
                then 'No session from the ex-date on is known yet; no price is changed.'
            when status = 'confirmed' and claimed_by = 'restatement'
                then 'Nobody reports it. The sources changed the prices before it by this ratio.'
            when status = 'confirmed' and claimed_by = 'step'
                then concat(
                        "Nobody reports it. The exchange's prices change by this ratio, and ",
                        taken_out_by, ' has changed the prices before it.'
                    )
            when status = 'confirmed' and is_borne_out then 'The prices change by this ratio.'
            when status = 'confirmed' then 'The exchange and Yahoo report the same ratio.'
            when status = 'withdrawn'
                then 'A later list of the exchange reaches over this day and does not name it.'
            when status = 'contradicted' and is_denied and claimed_by = 'step'
                then concat(
                        "The exchange's prices deny the reported ratio of ",
                        cast(reported_ratio as string), '. They change by ',
                        cast(claimed_ratio as string), ', which is applied.'
                    )
            when status = 'contradicted' and is_denied and shown_ratio is not null
                then concat(
                        'The prices deny the reported ratio of ', cast(reported_ratio as string),
                        '. Both sources changed their past by ', cast(shown_ratio as string),
                        ', which is applied.'
                    )
            when status = 'contradicted' and is_denied
                then 'The prices deny the reported ratio; none is applied.'
            when status = 'contradicted' and is_repeat
                then 'Yahoo reports the same event twice; this report is not applied.'
            when status = 'contradicted'
                then 'A list of the exchange reaches over this day and does not name it.'
            when claimed_by = 'restatement'
                then 'Nobody reports it; one source has changed the prices before it.'
            when official_ratio is not null and yahoo_ratio is not null
                then concat(
                        'The exchange reports ', cast(official_ratio as string), ' and Yahoo ',
                        cast(yahoo_ratio as string), '; no price tells who is right.'
                    )
            else 'One source reports it; no price tells whether it is right.'
        end as status_reason,
        subject,
        if(
            is_official and is_by_yahoo, 'nse,yahoo',
            if(is_official, 'nse', if(is_by_yahoo, 'yahoo', null))
        ) as reported_by,
        coalesce(restated_by, if(claimed_by = 'step', 'nse', null)) as inferred_from,
        reported_ratio,
        case
            when status = 'contradicted' and is_denied and claimed_by = 'step' then claimed_ratio
            when status = 'contradicted' and is_denied then shown_ratio
            when status in ('withdrawn', 'contradicted') then null
            -- Rewritten prices of only one source are not enough.
            when claimed_by = 'restatement' and status != 'confirmed' and shown_ratio is null
                then null
            else claimed_ratio
        end as share_ratio,
        coalesce(primary_ratio, fallback_ratio) as price_ratio,
        ex_date,
        reported_at,
        detected_at
    from with_status

    union all

    select
        symbol,
        if(is_withdrawn, 'withdrawn', if(is_coming, 'announced', 'unreadable')) as status,
        if(
            is_withdrawn,
            'A later list of the exchange reaches over this day and does not name it.',
            'A part of what the exchange says was not understood, and nobody else reports it.'
        ) as status_reason,
        subject,
        'nse' as reported_by,
        cast(null as string) as inferred_from,
        cast(null as float64) as reported_ratio,
        cast(null as float64) as share_ratio,
        cast(null as float64) as price_ratio,
        ex_date,
        reported_at,
        cast(null as timestamp) as detected_at
    from unread

)

select * from judged
