with

source as (

    select * from {{ source('raw', 'nse_corporate_actions') }}

),

-- What is typed by hand comes in many spellings: "Rs.5", "Rs  5/-", "Rs 1,000". One slash ends a
-- price ("Rs 5/-"), another stands between two actions.
spelled as (

    select
        *,
        regexp_replace(trim(subject), r'\s+', ' ') as spaced_subject,
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(trim(lower(subject)), r'\s+', ' '), r'([0-9]) ?/ ?-', r'\1'
                ),
                r'([0-9]),([0-9])',
                r'\1\2'
            ),
            r'\b(r[se])\.',
            r'\1 '
        ) as spelling
    from source

),

-- A special dividend may follow another one without any sign between them.
separated as (

    select
        *,
        regexp_replace(
            regexp_replace(spelling, r' ?[/&] ?| and ', '|'),
            r'(per [a-z]+) (special|interim|final)',
            r'\1|\2'
        ) as action_list
    from spelled

),

actions as (

    select
        separated.*,
        action,
        action_number
    from separated
    cross join unnest(split(separated.action_list, '|')) as action with offset as action_number

),

classified as (

    select
        *,
        case
            when regexp_contains(action, r'split|sub-? ?division|consolidation') then 'split'
            when regexp_contains(action, r'buy ?-? ?back') then 'buyback'
            -- Debentures and preference shares leave the number of shares as it is.
            when regexp_contains(action, r'bonus.*(debenture|preference|ncd|bond)') then 'other'
            when regexp_contains(action, r'bonus') then 'bonus'
            when regexp_contains(action, r'rights') then 'rights'
            when regexp_contains(action, r'de-?merger|spin') then 'demerger'
            -- Seen: "Dividned", "Interimdividend", "Specia Ldividend".
            when regexp_contains(action, r'divid|\bdiv\b') then 'dividend'
            else 'other'
        end as kind
    from actions

),

sized as (

    select
        *,
        -- In old records a dividend is a percentage of the face value.
        if(
            kind = 'dividend' and strpos(action, '%') = 0,
            safe_cast(regexp_extract(action, r'div[a-z]*[^0-9.]*([0-9]*\.?[0-9]+)') as numeric),
            null
        ) as dividend_amount,
        safe_cast(regexp_extract(action, r'([0-9]+) ?: ?[0-9]+') as float64) as new_share_count,
        safe_cast(regexp_extract(action, r'[0-9]+ ?: ?([0-9]+)') as float64) as old_share_count,
        safe_cast(
            regexp_extract(action, r'from r[se] ?([0-9.]+)') as float64
        ) as old_face_value,
        safe_cast(regexp_extract(action, r'to r[se] ?([0-9.]+)') as float64) as new_face_value
    from classified

),

renamed as (

    select
        symbol,
        isin,
        'nse' as source_id,
        series,
        kind,
        spaced_subject as subject,
        action,
        action_number,
        dividend_amount,
        round(
            case kind
                when 'bonus' then safe_divide(new_share_count + old_share_count, old_share_count)
                when 'split' then safe_divide(old_face_value, new_face_value)
            end,
            6
        ) as share_ratio,
        series in ('EQ', 'BE', 'BZ', 'SM', 'ST') as is_of_shares,
        ex_date,
        safe.parse_date('%d-%b-%Y', recdate) as record_date,
        _extracted_at as extracted_at
    from sized

)

select * from renamed
