with

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

received as (

    select
        coalesce(current_symbols.symbol, corporate_actions.symbol) as symbol,
        corporate_actions.source_id,
        corporate_actions.dividend_amount,
        corporate_actions.split_ratio,
        corporate_actions.ex_date,
        corporate_actions.extracted_at
    from {{ ref('stg_yahoo__corporate_actions') }} as corporate_actions
    left join current_symbols
        on
            corporate_actions.symbol = current_symbols.former_symbol
            and date(corporate_actions.extracted_at) <= current_symbols.last_used_on

),

-- All of them: they are few, and a bar's scale depends on every action after it.
reports as (

    select
        symbol,
        source_id,
        dividend_amount,
        split_ratio,
        ex_date,
        min(extracted_at) as known_from,
        max(extracted_at) as extracted_at
    from received
    group by symbol, source_id, dividend_amount, split_ratio, ex_date

),

freshest as (

    select * from reports
    qualify
        row_number() over (
            partition by symbol, ex_date, source_id
            order by extracted_at desc, split_ratio desc, dividend_amount desc
        ) = 1

),

-- A split and a bonus of one day are one change of the number of shares.
exchange_actions as (

    select
        symbol,
        source_id,
        if(kind = 'dividend', kind, 'share_event') as kind,
        round(exp(sum(ln(share_ratio))), 6) as share_ratio,
        sum(dividend_amount) as dividend_amount,
        ex_date,
        -- Whenever the file came, its rupees are of the shares of the ex-date.
        timestamp(datetime(ex_date, time '08:30:00'), 'Asia/Kolkata') as known_from,
        max(extracted_at) as extracted_at
    from {{ ref('int_exchange_actions__deduplicated') }}
    where
        (kind = 'dividend' and dividend_amount > 0)
        or (kind in ('bonus', 'split') and share_ratio > 0 and share_ratio != 1)
    group by symbol, source_id, if(kind = 'dividend', kind, 'share_event'), ex_date

),

corporate_actions as (

    select * from exchange_actions

    union all

    select
        symbol,
        source_id,
        'share_event' as kind,
        cast(split_ratio as float64) as share_ratio,
        cast(null as numeric) as dividend_amount,
        ex_date,
        known_from,
        extracted_at
    from freshest
    where split_ratio > 0 and split_ratio != 1

    union all

    select
        symbol,
        source_id,
        'dividend' as kind,
        cast(null as float64) as share_ratio,
        dividend_amount,
        ex_date,
        known_from,
        extracted_at
    from freshest
    where dividend_amount > 0

)

select * from corporate_actions
