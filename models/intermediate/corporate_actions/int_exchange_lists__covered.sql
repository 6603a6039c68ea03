-- A table, because two models read it, and many models read those.
{{ config(materialized='table', tags=['actions']) }}

with

records as (

    select
        list_id,
        coalesce(symbol, listed_symbol) as symbol,
        kind,
        ex_date,
        extracted_at
    from {{ ref('int_exchange_records__resolved') }}

),

former_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

files as (

    select
        list_id,
        unread_symbols,
        covers_from,
        covers_to
    from {{ ref('stg_nse__files') }}

),

unread_records as (

    select
        files.list_id,
        symbol
    from files
    cross join unnest(split(files.unread_symbols, ',')) as symbol

),

-- The symbol in the list, and the symbol that its instrument has today.
named_symbols as (

    select * from unread_records

    union distinct

    select
        unread_records.list_id,
        former_symbols.symbol
    from unread_records
    inner join former_symbols
        on unread_records.symbol = former_symbols.former_symbol

),

-- If a record of a share was not read, the list may have any action of that share.
unread as (

    select
        list_id,
        concat(',', string_agg(distinct symbol order by symbol), ',') as unread_symbols
    from named_symbols
    group by list_id

),

-- A file from the exchange's site has its days in its name.
stated as (

    select
        list_id,
        min(covers_from) as first_day,
        max(covers_to) as last_day
    from files
    where covers_from is not null
    group by list_id

),

-- The site offers all actions, those of one purpose, or those of one company.
lists as (

    select
        list_id,
        extracted_at,
        if(count(distinct kind) = 1, max(kind), null) as only_kind,
        if(count(distinct symbol) = 1, max(symbol), null) as only_symbol
    from records
    group by list_id, extracted_at

),

-- If the name has no days, the records give them. A list of coming actions begins on the day of its
-- download.
listed_days as (

    select
        list_id,
        ex_date as listed_on
    from records
    group by list_id, ex_date

    union distinct

    select
        list_id,
        date(extracted_at, 'Asia/Kolkata') as listed_on
    from lists

),

-- There are ex-dates in nearly every week, so a longer gap is a part that was not downloaded.
marked as (

    select
        list_id,
        listed_on,
        coalesce(
            date_diff(
                listed_on,
                lag(listed_on) over (partition by list_id order by listed_on),
                day
            ) <= 10,
            false
        ) as is_continued
    from listed_days

),

numbered as (

    select
        list_id,
        listed_on,
        countif(not is_continued) over (
            partition by list_id
            order by listed_on
            rows between unbounded preceding and current row
        ) as stretch
    from marked

),

shown as (

    select
        list_id,
        stretch,
        min(listed_on) as first_day,
        max(listed_on) as last_day
    from numbered
    group by list_id, stretch

),

stretches as (

    select
        list_id,
        first_day,
        last_day
    from stated

    union all

    select
        shown.list_id,
        shown.first_day,
        shown.last_day
    from shown
    left join stated
        on shown.list_id = stated.list_id
    where stated.list_id is null

),

covered as (

    select
        lists.list_id,
        lists.only_symbol,
        lists.only_kind,
        coalesce(unread.unread_symbols, ',') as unread_symbols,
        stretches.first_day,
        stretches.last_day,
        lists.extracted_at
    from stretches
    inner join lists
        on stretches.list_id = lists.list_id
    left join unread
        on stretches.list_id = unread.list_id
    where
        -- The unread record may be about any share.
        coalesce(strpos(unread.unread_symbols, ',?,') = 0, true)

)

select * from covered
