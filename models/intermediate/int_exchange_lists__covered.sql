with

records as (

    select
        coalesce(symbol, listed_symbol) as symbol,
        kind,
        ex_date,
        extracted_at
    from {{ ref('int_exchange_records__resolved') }}

),

-- The site gives all actions, or those of one purpose, or those of one company.
lists as (

    select
        extracted_at,
        if(count(distinct kind) = 1, any_value(kind), null) as only_kind,
        if(count(distinct symbol) = 1, any_value(symbol), null) as only_symbol
    from records
    group by extracted_at

),

-- A list of coming actions begins on the day of its download.
listed_days as (

    select
        extracted_at,
        ex_date as listed_on
    from records
    group by extracted_at, ex_date

    union distinct

    select
        extracted_at,
        date(extracted_at, 'Asia/Kolkata') as listed_on
    from lists

),

-- Hardly a week passes without an ex-date: a longer gap is a part that was not downloaded.
marked as (

    select
        extracted_at,
        listed_on,
        coalesce(
            date_diff(
                listed_on,
                lag(listed_on) over (partition by extracted_at order by listed_on),
                day
            ) <= 10,
            false
        ) as is_continued
    from listed_days

),

numbered as (

    select
        extracted_at,
        listed_on,
        countif(not is_continued) over (
            partition by extracted_at
            order by listed_on
            rows between unbounded preceding and current row
        ) as stretch
    from marked

),

stretches as (

    select
        extracted_at,
        stretch,
        min(listed_on) as first_day,
        max(listed_on) as last_day
    from numbered
    group by extracted_at, stretch

),

covered as (

    select
        lists.only_symbol,
        lists.only_kind,
        stretches.first_day,
        stretches.last_day,
        stretches.extracted_at
    from stretches
    inner join lists
        on stretches.extracted_at = lists.extracted_at

)

select * from covered
