{{ config(tags=['bars', 'windowed']) }}

with

bars as (

    select
        *,
        {{ day_of_shares('source_id', 'trade_date', 'first_sent_at') }} as known_on
    from {{ ref('int_bars__deduplicated') }}

),

kite_factors as (

    select * from {{ ref('int_kite_factors') }}

),

break_factors as (

    select * from {{ ref('int_break_factors') }}

),

share_factors as (

    select * from {{ ref('int_share_factors') }}

),

latest_share_factors as (

    select
        share_factors.symbol,
        share_factors.share_factor
    from share_factors
    inner join {{ ref('int_symbols__traded') }} as traded
        on
            share_factors.symbol = traded.symbol
            and share_factors.valid_from <= traded.latest_session
            and share_factors.valid_to > traded.latest_session

),

-- A version of a bar is in shares of the day on which the source first sent it, because the source
-- sends another version after a split. The exchange's record stays as traded. Here all versions are
-- converted to shares of the latest session. A source that applies a split late is on another scale
-- until then, which the comparison of the sources finds. Dividends that Kite had taken out of its
-- past by that day are added back, and a split that a source applied to a part of its past is
-- applied to the rest.
with_factors as (

    select
        bars.symbol,
        bars.source_id,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        bars.revision_count,
        bars.is_provisional,
        bars.is_withdrawn,
        bars.trade_date,
        bars.extracted_at,
        coalesce(shares_when_known.share_factor / latest_share_factors.share_factor, 1)
        * coalesce(break_factors.break_factor, 1)
        / coalesce(kite_factors.kite_dividend_factor, 1) as price_factor,
        coalesce(kite_factors.kite_dividend_amount, 0) as price_addend,
        coalesce(latest_share_factors.share_factor / shares_when_known.share_factor, 1)
        / coalesce(break_factors.break_factor, 1) as volume_factor
    from bars
    left join kite_factors
        on
            bars.symbol = kite_factors.symbol
            and bars.source_id = 'kite'
            and bars.trade_date >= kite_factors.valid_from
            and bars.trade_date < kite_factors.valid_to
            and bars.known_on >= kite_factors.known_from
            and bars.known_on < kite_factors.known_to
    left join break_factors
        on
            bars.symbol = break_factors.symbol
            and bars.source_id = break_factors.source_id
            and bars.trade_date >= break_factors.valid_from
            and bars.trade_date < break_factors.valid_to
            and bars.known_on >= break_factors.known_from
    left join share_factors as shares_when_known
        on
            bars.symbol = shares_when_known.symbol
            and bars.known_on >= shares_when_known.valid_from
            and bars.known_on < shares_when_known.valid_to
    left join latest_share_factors
        on bars.symbol = latest_share_factors.symbol

),

rebased as (

    select
        symbol,
        source_id,
        {% for price in ['open', 'high', 'low', 'close'] -%}
            if(
                {{ price }} = 0,
                {{ price }},
                round(
                    cast(cast({{ price }} as float64) * price_factor + price_addend as numeric), 2
                )
            ) as {{ price }},
        {% endfor -%}
        cast(round(volume * volume_factor) as int64) as volume,
        revision_count,
        price_factor,
        price_addend,
        volume_factor,
        is_provisional,
        is_withdrawn,
        trade_date,
        extracted_at
    from with_factors

)

select * from rebased
