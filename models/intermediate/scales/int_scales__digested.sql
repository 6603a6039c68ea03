with

adjustment_factors as (

    select
        symbol,
        to_json_string(struct(valid_from, share_factor)) as fact
    from {{ ref('fct_adjustment_factors') }}

    union all

    select
        symbol,
        to_json_string(
            struct(
                known_from,
                known_to,
                valid_from,
                valid_to,
                kite_dividend_factor,
                kite_dividend_amount
            )
        ) as fact
    from {{ ref('int_kite_factors') }}

    union all

    select
        symbol,
        to_json_string(struct(valid_from, share_factor)) as fact
    from {{ ref('int_share_factors') }}

    union all

    select
        symbol,
        to_json_string(struct(source_id, valid_to, break_factor)) as fact
    from {{ ref('int_break_factors') }}

    union all

    select
        symbol,
        to_json_string(struct(kind, status, dividend_yield, ex_date)) as fact
    from {{ ref('fct_corporate_actions') }}
    -- A small dividend changes no scale, and no check except is_jump.
    where kind != 'dividend' or dividend_yield >= 0.01

),

digested as (

    select
        symbol,
        to_hex(md5(string_agg(fact, '\n' order by fact))) as digest
    from adjustment_factors
    group by symbol

)

select * from digested
