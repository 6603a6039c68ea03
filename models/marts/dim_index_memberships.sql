-- A view, because the lists are few, and a new list does not open a window of bars to merge.
{{ config(materialized='view') }}

with

isins as (

    select * from {{ ref('int_isins__resolved') }}

),

constituents as (

    select * from {{ ref('int_index_constituents__deduplicated') }}

),

lists as (

    select
        index_name,
        list_date,
        row_number() over (partition by index_name order by list_date) as list_number,
        lead(list_date) over (partition by index_name order by list_date) as next_list_date
    from constituents
    group by index_name, list_date

),

-- For consecutive lists, the difference of the two numbers is constant.
numbered as (

    select
        constituents.*,
        lists.next_list_date,
        lists.list_number - row_number() over (
            partition by constituents.index_name, constituents.share_code
            order by constituents.list_date
        ) as run_number
    from constituents
    inner join lists
        on
            constituents.index_name = lists.index_name
            and constituents.list_date = lists.list_date

),

runs as (

    select
        index_name,
        share_code,
        any_value(symbol having max list_date) as symbol,
        any_value(isin having max list_date) as isin,
        any_value(company_name having max list_date) as company_name,
        any_value(sector having max list_date) as sector,
        count(*) as list_count,
        min(list_date) as seen_from,
        max(list_date) as seen_to,
        any_value(next_list_date having max list_date) as missing_from
    from numbered
    group by index_name, share_code, run_number

),

memberships as (

    select
        runs.index_name,
        isins.instrument_id,
        runs.symbol,
        runs.isin,
        runs.company_name,
        runs.sector,
        runs.list_count,
        runs.missing_from is null as is_current,
        runs.seen_from,
        runs.seen_to,
        runs.missing_from
    from runs
    left join isins
        on runs.share_code = isins.share_code

)

select * from memberships
