{{
    config(
        tags=['bars', 'evidence'],
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['symbol', 'source_id', 'trade_date', 'is_provisional', 'revision'],
        incremental_predicates=[
            "{{ in_window('DBT_INTERNAL_DEST.trade_date', 'DBT_INTERNAL_DEST.symbol') }}"
        ],
        on_schema_change='fail',
        partition_by={'field': 'trade_date', 'data_type': 'date', 'granularity': 'month'},
        cluster_by=['symbol'],
    )
}}

with

bars as (

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        volume,
        is_provisional,
        is_withdrawn,
        trade_date,
        extracted_at
    from {{ ref('int_bars__unioned') }}
    {% if is_incremental() %}
        where
            {{ in_window('trade_date') }}
            -- No bar is received before its day, and an Indian day begins on the day before in UTC.
            -- So this filter drops no bar, and it prunes raw's partitions.
            and extracted_at >= timestamp({{ oldest_window_start(context_days=1) }}, 'UTC')
    {% endif %}

),

-- A row that says that the source no longer sends the day has no values: it ends the version before
-- it. At one moment, what was sent counts, and what was withdrawn does not.
between_withdrawals as (

    select
        *,
        max(if(is_withdrawn, extracted_at, null)) over (
            partition by symbol, source_id, trade_date
            order by extracted_at asc, is_withdrawn is true asc
            rows between unbounded preceding and 1 preceding
        ) as withdrawn_before,
        min(if(is_withdrawn, extracted_at, null)) over (
            partition by symbol, source_id, trade_date
            order by extracted_at desc, is_withdrawn is true asc
            rows between unbounded preceding and 1 preceding
        ) as withdrawn_after
    from bars

),

-- Bars received at one moment are ordered by their values, so that every order of arrival gives the
-- same numbers. The order is total: a bar that comes late can add revisions, but never removes one.
compared as (

    select
        *,
        coalesce(withdrawn_before > lag(extracted_at) over receipts, false) as is_back,
        lag(extracted_at) over receipts is null
        or open is distinct from lag(open) over receipts
        or high is distinct from lag(high) over receipts
        or low is distinct from lag(low) over receipts
        or close is distinct from lag(close) over receipts
        or volume is distinct from lag(volume) over receipts as is_changed
    from between_withdrawals
    where is_withdrawn is not true
    window
        receipts as (
            partition by symbol, source_id, trade_date, is_provisional
            order by extracted_at, close, open, high, low, volume
        )

),

numbered as (

    select
        *,
        countif(is_changed or is_back) over receipts as revision,
        countif(is_changed) over receipts as change
    from compared
    window
        receipts as (
            partition by symbol, source_id, trade_date, is_provisional
            order by extracted_at, close, open, high, low, volume
            rows between unbounded preceding and current row
        )

),

revisions as (

    select
        symbol,
        source_id,
        any_value(open) as open,
        any_value(high) as high,
        any_value(low) as low,
        any_value(close) as close,
        any_value(volume) as volume,
        revision,
        any_value(change) as change,
        is_provisional,
        trade_date,
        min(extracted_at) as known_from,
        max(extracted_at) as last_received_at,
        -- Of its last receipt: at one moment, what was sent counts, and not what was withdrawn.
        array_agg(withdrawn_after order by extracted_at desc limit 1)[safe_offset(0)]
            as withdrawn_after
    from numbered
    group by symbol, source_id, trade_date, is_provisional, revision

),

followed as (

    select
        *,
        -- The first final version replaces the version before it, whether provisional or not.
        if(
            is_provisional or revision > 1,
            lag(close) over revisions_of_bar,
            lag(close) over versions_of_bar
        ) as replaced_close,
        if(
            is_provisional or revision > 1,
            lag(volume) over revisions_of_bar,
            lag(volume) over versions_of_bar
        ) as replaced_volume,
        if(
            is_provisional or revision > 1,
            lag(known_from) over revisions_of_bar,
            lag(known_from) over versions_of_bar
        ) as replaced_from,
        lead(known_from) over revisions_of_bar as next_from,
        min(if(is_provisional, null, known_from)) over (
            partition by symbol, source_id, trade_date
        ) as final_from,
        min(known_from) over (
            partition by symbol, source_id, trade_date, is_provisional, change
        ) as first_sent_at
    from revisions
    window
        revisions_of_bar as (
            partition by symbol, source_id, trade_date, is_provisional
            order by revision
        ),
        versions_of_bar as (
            partition by symbol, source_id, trade_date
            order by known_from asc, is_provisional desc, revision asc
        )

),

replaced as (

    select
        *,
        -- The first final bar replaces a provisional one; a provisional bar that comes after it is
        -- never used.
        if(
            is_provisional and final_from is not null,
            greatest(known_from, least(coalesce(next_from, final_from), final_from)),
            next_from
        ) as replaced_at
    from followed

),

dated as (

    select
        symbol,
        source_id,
        open,
        high,
        low,
        close,
        -- Of two versions received at one moment, neither replaced the other.
        if(replaced_from < known_from, replaced_close, null) as replaced_close,
        volume,
        if(replaced_from < known_from, replaced_volume, null) as replaced_volume,
        revision,
        is_provisional,
        trade_date,
        first_sent_at,
        known_from,
        -- A bar that comes back is another version: what was known in between does not change.
        if(
            withdrawn_after < replaced_at or replaced_at is null, withdrawn_after, replaced_at
        ) as known_to,
        if(
            withdrawn_after < replaced_at or replaced_at is null, withdrawn_after, null
        ) as withdrawn_at,
        last_received_at
    from replaced

)

select * from dated
