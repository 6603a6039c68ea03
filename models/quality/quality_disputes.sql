with

recent_sessions as (

    select trade_date from {{ ref('dim_trading_sessions') }}
    where closes_at <= current_timestamp()
    -- The third opinion goes back a hundred sessions.
    qualify row_number() over (order by trade_date desc) <= 100

),

apart as (

    select
        symbol,
        'apart' as kind,
        trade_date
    from {{ ref('fct_daily_bars') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 160 day)
        and 'agrees_with_other_source' in unnest(failed_checks)

),

freshest_bars as (

    select
        symbol,
        source_id,
        close,
        trade_date
    from {{ ref('int_bars__unioned') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 160 day)
        and extracted_at
        >= timestamp(date_sub(current_date('Asia/Kolkata'), interval 160 day), 'UTC')
        -- A row without values says that the source no longer sends the day.
        and is_withdrawn is not true
    qualify
        row_number() over (
            partition by symbol, source_id, trade_date
            order by is_provisional asc, extracted_at desc, close desc
        ) = 1

),

closes as (

    select
        symbol,
        max(if(source_id = 'kite', close, null)) as kite_close,
        max(if(source_id = 'yahoo', close, null)) as yahoo_close,
        trade_date
    from freshest_bars
    group by symbol, trade_date

),

served_symbols as (

    select symbol from closes
    group by symbol

),

-- A symbol without any bar from the two sources is not a dispute.
absent as (

    select
        expected_bars.symbol,
        'absent' as kind,
        expected_bars.trade_date
    from {{ ref('int_expected_bars__matched') }} as expected_bars
    inner join served_symbols
        on expected_bars.symbol = served_symbols.symbol
    where
        expected_bars.trade_date >= date_sub(current_date('Asia/Kolkata'), interval 160 day)
        and expected_bars.is_expected
        and not expected_bars.is_present

),

disputes as (

    select * from apart

    union all

    select * from absent

),

third_opinions as (

    select
        symbol,
        close,
        trade_date
    from {{ ref('int_third_opinions__renamed') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 160 day)
        and extracted_at
        >= timestamp(date_sub(current_date('Asia/Kolkata'), interval 160 day), 'UTC')
    qualify
        row_number() over (
            partition by symbol, trade_date
            order by extracted_at desc, close desc
        ) = 1

),

asked as (

    select
        symbol,
        -- On the trade date itself, Alpha Vantage may not have the session yet, so only later
        -- requests count.
        max(least(asked_to, date_sub(date(requested_at, 'Asia/Kolkata'), interval 1 day)))
            as asked_to
    from {{ ref('stg_extract__requests') }}
    where
        source_id = 'alpha_vantage'
        -- A refused request has no answer about the symbol.
        and outcome in ('ok', 'empty')
        and extracted_at
        >= timestamp(date_sub(current_date('Asia/Kolkata'), interval 160 day), 'UTC')
    group by symbol

),

compared as (

    select
        disputes.symbol,
        disputes.kind,
        closes.kite_close,
        closes.yahoo_close,
        third_opinions.close as third_close,
        abs(third_opinions.close - closes.kite_close) <= closes.kite_close * numeric '0.005'
            as is_near_kite,
        abs(third_opinions.close - closes.yahoo_close) <= closes.yahoo_close * numeric '0.005'
            as is_near_yahoo,
        coalesce(asked.asked_to >= disputes.trade_date, false) as is_asked,
        disputes.trade_date
    from disputes
    inner join recent_sessions
        on disputes.trade_date = recent_sessions.trade_date
    left join closes
        on
            disputes.symbol = closes.symbol
            and disputes.trade_date = closes.trade_date
    left join third_opinions
        on
            disputes.symbol = third_opinions.symbol
            and disputes.trade_date = third_opinions.trade_date
    left join asked
        on disputes.symbol = asked.symbol

),

judged as (

    select
        symbol,
        kind,
        case
            when third_close is null then 'open'
            when kind = 'absent' then 'traded'
            when is_near_kite and not is_near_yahoo then 'kite'
            when is_near_yahoo and not is_near_kite then 'yahoo'
            else 'neither'
        end as verdict,
        kite_close,
        yahoo_close,
        third_close,
        is_asked,
        trade_date
    from compared

)

select * from judged
