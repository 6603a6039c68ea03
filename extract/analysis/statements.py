"""The statements of ``extract.data``, as templates: it fills in the braces with literals that it has checked."""

# Only the columns that are needed: for one symbol, all columns of the view take twice as long.
CURRENT = """
select
    symbol,
    trade_date,
    round(cast(open as float64) / {factor}, 2) as open,
    round(cast(high as float64) / {factor}, 2) as high,
    round(cast(low as float64) / {factor}, 2) as low,
    round(cast(close as float64) / {factor}, 2) as close,
    cast(adjusted_close as float64) as adjusted_close,
    cast(round(volume * {factor}) as int64) as volume,
    source_id,
    is_provisional
from daily_bars{where}
order by symbol, trade_date
"""

# A version is in shares of the day on which the source first sent its values; a version of the exchange's record, in
# shares of its own trade date. The arithmetic is that of int_bars__rebased, with the events known at the time.
AS_OF = """
with

events as (

    select
        symbol,
        ex_date,
        sum(if(share_ratio > 0, ln(share_ratio), 0)) as share_exponent,
        sum(if(dividend_yield > 0, ln(1 - dividend_yield), 0)) as dividend_exponent
    from (select * from fct_corporate_actions{symbols})
    where
        (share_ratio > 0 or dividend_yield > 0)
        and status != 'announced'
        and ex_date <= {day}
        and known_from <= {moment}
    group by symbol, ex_date

),

beginnings as (

    select symbol, ex_date as valid_from, share_exponent, dividend_exponent from events

    union all

    select symbol, date '0001-01-01' as valid_from, 0.0, 0.0 from events group by symbol

),

factors as (

    select
        symbol,
        valid_from,
        lead(valid_from, 1, date '9999-12-31') over later as valid_to,
        sum(share_exponent) over later as share_exponent,
        sum(dividend_exponent) over later as dividend_exponent
    from beginnings
    window later as (partition by symbol order by valid_from)

),

known as (

    select
        *,
        if(
            source_id = '{exchange}',
            trade_date,
            date(timestamp_sub(first_sent_at, interval 8 hour), 'Asia/Kolkata')
        ) as sent_in_shares_of,
        case {precedence} else 99 end as precedence
    from fct_daily_bar_revisions{where}

),

chosen as (

    select * from known
    where
        known_from <= {moment}
        -- A bar that its source had withdrawn is used where no other source had one.
        and (known_to is null or known_to > {moment} or withdrawn_at is not null)
        and close > 0
        and trade_date in (select trade_date from dim_trading_sessions)
    qualify
        row_number() over (
            partition by symbol, trade_date
            order by coalesce(withdrawn_at <= {moment}, false), precedence, known_from desc, revision desc
        ) = 1

),

scaled as (

    select
        chosen.*,
        exp(coalesce(sent_factors.share_exponent, 0) - coalesce({shares_of}.share_exponent, 0)) as share_factor,
        exp(coalesce(sent_factors.share_exponent, 0) - coalesce(as_of_factors.share_exponent, 0))
        * exp(coalesce(as_of_factors.dividend_exponent, 0) - coalesce(day_factors.dividend_exponent, 0))
            as adjusted_factor
    from chosen
    left join factors as sent_factors
        on
            chosen.symbol = sent_factors.symbol
            and chosen.sent_in_shares_of >= sent_factors.valid_from
            and chosen.sent_in_shares_of < sent_factors.valid_to
    left join factors as day_factors
        on
            chosen.symbol = day_factors.symbol
            and chosen.trade_date >= day_factors.valid_from
            and chosen.trade_date < day_factors.valid_to
    left join factors as as_of_factors
        on
            chosen.symbol = as_of_factors.symbol
            and {day} >= as_of_factors.valid_from
            and {day} < as_of_factors.valid_to

)

select
    symbol,
    trade_date,
    round(cast(open as float64) * share_factor, 2) as open,
    round(cast(high as float64) * share_factor, 2) as high,
    round(cast(low as float64) * share_factor, 2) as low,
    round(cast(close as float64) * share_factor, 2) as close,
    round(cast(close as float64) * adjusted_factor, 4) as adjusted_close,
    cast(round(volume / share_factor) as int64) as volume,
    source_id,
    is_provisional
from scaled
order by symbol, trade_date
"""

INSTRUMENTS = """
select symbol, instrument_id, isin, name as company_name, sector, listed_on, delisted_on
from dim_instruments
where (listed_on is null or listed_on <= date '{day}') and (delisted_on is null or delisted_on >= date '{day}')
order by symbol
"""

MEMBERS = """
select
    symbol,
    instrument_id,
    isin,
    company_name,
    sector,
    (
        select max(list_date)
        from dim_index_memberships cross join unnest([seen_from, seen_to, missing_from]) as list_date
        where index_name = '{name}' and list_date <= date '{day}'
    ) as list_date
from dim_index_memberships
where
    index_name = '{name}'
    and seen_from <= date '{day}'
    and (missing_from is null or missing_from > date '{day}')
order by symbol
"""
