with

batch_events as (

    select
        _archive_path as archive_path,
        event,
        symbols,
        oldest_date,
        -- The notes of older releases have only the day, in the path.
        coalesce(
            received_at,
            timestamp(regexp_extract(_archive_path, r'extracted_on=(\d{4}-\d{2}-\d{2})'))
        ) as received_at
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
        batch_events.oldest_date,
        batch_events.received_at
    from batch_events
    left join merged_batches
        on batch_events.archive_path = merged_batches.archive_path
    where merged_batches.archive_path is null

),

primary_source as (

    select source_id from {{ ref('int_sources__ranked') }}
    where is_primary

),

-- Taken from the notes on batches and not from the bars, so that no history is read. A record of
-- the exchange may have the symbol of another day, so the window covers every instrument that ever
-- had the symbol.
noted_symbols as (

    select
        unmerged_batches.archive_path,
        symbol,
        unmerged_batches.oldest_date,
        unmerged_batches.received_at
    from unmerged_batches
    cross join unnest(split(unmerged_batches.symbols, ',')) as symbol

),

symbols as (

    select
        former_symbol as noted_symbol,
        symbol
    from {{ ref('int_symbols__resolved') }}

    union all

    select
        symbol as noted_symbol,
        symbol
    from noted_symbols
    group by symbol

),

received_symbols as (

    select
        symbols.symbol,
        logical_or(
            starts_with(noted_symbols.archive_path, concat(primary_source.source_id, '_'))
        ) as is_from_primary,
        min(noted_symbols.oldest_date) as oldest_date,
        min(noted_symbols.received_at) as received_at
    from noted_symbols
    cross join primary_source
    inner join symbols
        on noted_symbols.symbol = symbols.noted_symbol
    group by symbols.symbol

),

scales as (

    select
        symbol,
        bar_count,
        primary_bar_count,
        overlap_count >= {{ var('scale_minimum_overlap') }} as is_compared,
        month
    from {{ ref('int_source_scales__measured') }}

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

-- If the sources of a symbol are to be compared again, everything received since their last
-- comparison is judged again.
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

-- If the actions of a share were reported, withdrawn or changed since its bars were merged, all its
-- bars are on another scale.
rescaled_symbols as (

    select coalesce(digested.symbol, merged.symbol) as symbol
    from {{ ref('int_scales__digested') }} as digested
    full outer join {{ ref('int_scales__merged') }} as merged
        on digested.symbol = merged.symbol
    where digested.digest is distinct from merged.digest

),

-- Actions for which no build has looked at the prices.
unmeasured_symbols as (

    select
        reported.symbol,
        min(reported.ex_date) as oldest_date
    from {{ ref('int_corporate_actions__reported') }} as reported
    inner join {{ ref('int_symbols__traded') }} as traded
        on
            reported.symbol = traded.symbol
            and reported.ex_date <= traded.latest_session
    left join {{ ref('int_share_events__measured') }} as measured
        on
            reported.symbol = measured.symbol
            and reported.ex_date = measured.ex_date
    left join {{ ref('int_dividends__priced') }} as priced
        on
            reported.symbol = priced.symbol
            and reported.ex_date = priced.ex_date
    where
        (reported.kind = 'share_event' and measured.symbol is null)
        or (
            reported.kind = 'dividend'
            and not reported.is_withdrawn
            and priced.symbol is null
        )
    group by reported.symbol

),

-- A batch that comes late can change what a source restated after the batch was received. All bars
-- of that restatement must be in the window, because it is measured by all of them.
windows_by_reason as (

    select
        received_symbols.symbol,
        least(
            received_symbols.oldest_date,
            coalesce(restatements.first_changed_date, received_symbols.oldest_date),
            if(
                last_comparisons.has_primary or received_symbols.is_from_primary,
                coalesce(first_unjudged.month, received_symbols.oldest_date),
                received_symbols.oldest_date
            )
        ) as oldest_date
    from received_symbols
    left join last_comparisons
        on received_symbols.symbol = last_comparisons.symbol
    left join first_unjudged
        on received_symbols.symbol = first_unjudged.symbol
    left join {{ ref('int_restatements__measured') }} as restatements
        on
            received_symbols.symbol = restatements.symbol
            and received_symbols.received_at <= restatements.detected_at

    union all

    select
        symbol,
        date '1900-01-01' as oldest_date
    from rescaled_symbols

    union all

    select
        symbol,
        oldest_date
    from unmeasured_symbols

),

symbol_windows as (

    select
        symbol,
        date_trunc(min(oldest_date), month) as window_start
    from windows_by_reason
    group by symbol

),

-- The changed past of a few symbols does not deepen the window of all symbols.
ranked as (

    select
        symbol,
        window_start,
        row_number() over (order by window_start, symbol) as place
    from symbol_windows

),

-- Everything in one row, so that the queries above run once.
collected as (

    select
        coalesce(
            min(if(place > {{ var('deep_window_symbol_count') }}, window_start, null)),
            date_trunc(current_date('Asia/Kolkata'), month)
        ) as window_start,
        array_agg(struct(symbol as deep_symbol, window_start as starts_on) order by symbol)
            as symbol_windows
    from ranked

),

unmeasured as (

    select count(*) as symbol_count from unmeasured_symbols

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
                select string_agg(deeper.deep_symbol, ',' order by deeper.deep_symbol)
                from unnest(collected.symbol_windows) as deeper
                where deeper.starts_on < collected.window_start
            ),
            ''
        ) as deep_window_symbols,
        unmeasured.symbol_count > 0 as has_unmeasured_actions
    from collected
    cross join unmeasured

)

select * from bounded
