with

batch_events as (

    select
        _archive_path as archive_path,
        event,
        symbols,
        oldest_date
    from {{ source('raw', 'batch_events') }}

),

merged_batches as (

    select archive_path from batch_events
    where event = 'merged'
    group by archive_path

),

unmerged_batches as (

    select
        batch_events.archive_path,
        batch_events.symbols,
        batch_events.oldest_date
    from batch_events
    left join merged_batches
        on batch_events.archive_path = merged_batches.archive_path
    where merged_batches.archive_path is null

),

primary_source as (

    select source_id from {{ ref('source_precedence') }}
    group by source_id
    qualify row_number() over (order by min(precedence)) = 1

),

-- Taken from the notes of the batches, and not from the bars, so that no history is read.
noted_symbols as (

    select
        unmerged_batches.archive_path,
        symbol,
        unmerged_batches.oldest_date,
        cast(
            regexp_extract(unmerged_batches.archive_path, 'extracted_on=([0-9-]{10})') as date
        ) as extracted_on
    from unmerged_batches
    cross join unnest(split(unmerged_batches.symbols, ',')) as symbol

),

current_symbols as (

    select * from {{ ref('int_symbols__resolved') }}

),

received_symbols as (

    select
        coalesce(current_symbols.symbol, noted_symbols.symbol) as symbol,
        logical_or(
            starts_with(noted_symbols.archive_path, concat(primary_source.source_id, '_'))
        ) as is_from_primary,
        min(noted_symbols.oldest_date) as oldest_date
    from noted_symbols
    cross join primary_source
    left join current_symbols
        on
            noted_symbols.symbol = current_symbols.former_symbol
            and noted_symbols.extracted_on <= current_symbols.last_used_on
    group by coalesce(current_symbols.symbol, noted_symbols.symbol)

),

scales as (

    select
        symbol,
        bar_count,
        primary_bar_count,
        is_compared,
        month
    from {{ ref('int_source_scales__judged') }}

),

last_comparisons as (

    select
        scales.symbol,
        logical_or(scales.primary_bar_count > 0) as has_primary,
        max(
            if(
                scales.is_compared
                and scales.month < date_trunc(received_symbols.oldest_date, month),
                scales.month,
                null
            )
        ) as last_month
    from scales
    inner join received_symbols
        on scales.symbol = received_symbols.symbol
    group by scales.symbol

),

-- Where the sources of a symbol may be compared again, that judges what came since they last were.
first_unjudged as (

    select
        scales.symbol,
        min(scales.month) as month
    from scales
    inner join last_comparisons
        on
            scales.symbol = last_comparisons.symbol
            and scales.month > coalesce(last_comparisons.last_month, date '0001-01-01')
    where scales.bar_count > 0
    group by scales.symbol

),

lowest_recent_closes as (

    select
        symbol,
        min(close) as close
    from {{ ref('fct_daily_bars') }}
    where
        trade_date >= date_sub(current_date('Asia/Kolkata'), interval 45 day)
        and close > 0
    group by symbol

),

first_rule as (

    select min(first_ex_date) as first_ex_date from {{ ref('kite_dividend_rules') }}

),

-- As they are reported now, and as the last build took them in.
corporate_actions as (

    select
        symbol,
        kind,
        dividend_amount,
        ex_date
    from {{ ref('int_corporate_actions__deduplicated') }}

    union all

    select
        symbol,
        kind,
        dividend_amount,
        ex_date
    from {{ ref('int_corporate_actions__sized') }}

),

-- Those that change the scale of the bars before them. A dividend of less than a hundredth of every
-- close at hand does not; one that is older than these closes may.
scale_changes as (

    select
        corporate_actions.symbol,
        max(corporate_actions.ex_date) as ex_date
    from corporate_actions
    cross join first_rule
    left join lowest_recent_closes
        on corporate_actions.symbol = lowest_recent_closes.symbol
    where
        corporate_actions.kind = 'share_event'
        or (
            corporate_actions.ex_date >= first_rule.first_ex_date
            and not coalesce(
                corporate_actions.ex_date
                >= date_sub(current_date('Asia/Kolkata'), interval 30 day)
                and corporate_actions.dividend_amount
                < numeric '0.01' * lowest_recent_closes.close,
                false
            )
        )
    group by corporate_actions.symbol

),

symbol_windows as (

    select
        received_symbols.symbol,
        date_trunc(
            least(
                received_symbols.oldest_date,
                if(
                    last_comparisons.has_primary or received_symbols.is_from_primary,
                    coalesce(first_unjudged.month, received_symbols.oldest_date),
                    received_symbols.oldest_date
                ),
                -- A bar of the session before may change how large a dividend was.
                if(
                    scale_changes.ex_date >= received_symbols.oldest_date,
                    date '1900-01-01',
                    received_symbols.oldest_date
                )
            ),
            month
        ) as window_start
    from received_symbols
    left join last_comparisons
        on received_symbols.symbol = last_comparisons.symbol
    left join first_unjudged
        on received_symbols.symbol = first_unjudged.symbol
    left join scale_changes
        on received_symbols.symbol = scale_changes.symbol

),

-- A few symbols whose past has changed do not deepen the window of all.
ranked as (

    select
        symbol,
        window_start,
        row_number() over (order by window_start, symbol) as place
    from symbol_windows

),

-- In one row, so that what stands above is read once.
collected as (

    select
        coalesce(
            min(if(place > {{ var('deep_window_symbol_count') }}, window_start, null)),
            date_trunc(current_date('Asia/Kolkata'), month)
        ) as window_start,
        array_agg(struct(symbol as name, window_start as starts_on) order by symbol) as symbol_windows
    from ranked

),

bounded as (

    select
        collected.window_start,
        coalesce(
            (
                select min(deeper.starts_on) from unnest(collected.symbol_windows) as deeper
                where deeper.starts_on < collected.window_start
            ),
            collected.window_start
        ) as deep_window_start,
        coalesce(
            (
                select string_agg(deeper.name, ',' order by deeper.name)
                from unnest(collected.symbol_windows) as deeper
                where deeper.starts_on < collected.window_start
            ),
            ''
        ) as deep_window_symbols
    from collected

)

select * from bounded
