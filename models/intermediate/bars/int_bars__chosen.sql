with

bars as (

    select * from {{ ref('int_bars__checked') }}

),

checks as (

    select
        {% for check_id in var('bar_checks') -%}
            max(if(check_id = '{{ check_id }}', weight, null)) as {{ check_id }}_weight,
            logical_or(
                check_id = '{{ check_id }}' and severity = 'error'
            ) as {{ check_id }}_is_error,
        {% endfor -%}
        max(if(check_id = 'is_present', weight, null)) as is_present_weight
    from {{ ref('quality_checks') }}

),

-- The sums are made in groups, because the parser of Google's analyzer cannot read an expression
-- tree that is more than a hundred levels deep.
scored as (

    select
        bars.symbol,
        bars.source_id,
        array_concat(
            {% for check_id in var('bar_checks') -%}
                if(bars.{{ check_id }} is false, ['{{ check_id }}'], []){{ ',' if not loop.last }}
            {% endfor -%}
        ) as failed_checks,
        array_concat(
            {% for check_id in var('bar_checks') -%}
                if(bars.{{ check_id }} is null, ['{{ check_id }}'], []){{ ',' if not loop.last }}
            {% endfor -%}
        ) as inapplicable_checks,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        bars.revision_count,
        bars.precedence,
        bars.price_factor,
        bars.price_addend,
        bars.volume_factor,
        (
            checks.is_present_weight
            {% for check_ids in var('bar_checks') | batch(6) -%}
                + (
                    0
                    {% for check_id in check_ids -%}
                        + if(bars.{{ check_id }} is true, checks.{{ check_id }}_weight, 0)
                    {% endfor -%}
                )
            {% endfor -%}
        ) as passed_weight,
        (
            checks.is_present_weight
            {% for check_ids in var('bar_checks') | batch(6) -%}
                + (
                    0
                    {% for check_id in check_ids -%}
                        + if(bars.{{ check_id }} is null, 0, checks.{{ check_id }}_weight)
                    {% endfor -%}
                )
            {% endfor -%}
        ) as applicable_weight,
        checks.has_explained_return_weight,
        checks.has_explained_return_is_error,
        bars.growth,
        bars.has_unsized_action,
        bars.is_provisional,
        bars.is_of_sound_session,
        (
            0
            {% for check_ids in var('bar_checks') | batch(6) -%}
                + (
                    0
                    {% for check_id in check_ids -%}
                        + if(checks.{{ check_id }}_is_error and bars.{{ check_id }} is false, 1, 0)
                    {% endfor -%}
                )
            {% endfor -%}
        ) = 0 as is_valid,
        bars.trade_date,
        bars.extracted_at
    from bars
    cross join checks

),

-- The first source whose bar passes all errors, or else the first source's bar, as not valid. A bar
-- of a session that its source got wrong comes after all others.
chosen as (

    select * from scored
    qualify
        row_number() over (
            partition by symbol, trade_date
            order by
                is_valid desc,
                if(is_of_sound_session is false, 1, 0) asc,
                precedence asc,
                source_id asc
        ) = 1

),

with_last_closes as (

    select
        *,
        cast(close as float64)
        / last_value(if(is_valid, nullif(cast(close as float64), 0), null) ignore nulls)
            over days_before
            as move_since_valid,
        cast(close as float64)
        / last_value(nullif(cast(close as float64), 0) ignore nulls) over days_before as move
    from chosen
    window
        days_before as (
            partition by symbol
            order by unix_date(trade_date)
            range between {{ var('context_days') }} preceding and 1 preceding
        )

),

-- If the chosen series moves by more than 20 % and the source's own series does not, the bar before
-- is on another scale. For example, the exchange's record begins on this day, and the source of the
-- days before has applied a split that the exchange never had. A bar before that is not valid may
-- be on no scale at all, or be the jump after which the series goes on: so both moves must show it.
with_seams as (

    select
        *,
        coalesce(
            is_valid
            and not coalesce(has_unsized_action, false)
            and abs(move_since_valid - 1) > 0.2
            and abs(move - 1) > 0.2
            and coalesce(least(abs(move_since_valid - growth), abs(move - growth)) > 0.1, true),
            false
        ) as is_seam,
        'has_explained_return' in unnest(inapplicable_checks) as is_first_move
    from with_last_closes

),

judged as (

    select
        symbol,
        source_id,
        if(is_seam, array_concat(failed_checks, ['has_explained_return']), failed_checks)
            as failed_checks,
        if(
            is_seam,
            array(
                select check_id from unnest(inapplicable_checks) as check_id
                where check_id != 'has_explained_return'
                order by check_id
            ),
            inapplicable_checks
        ) as inapplicable_checks,
        open,
        high,
        low,
        close,
        volume,
        revision_count,
        precedence,
        price_factor,
        price_addend,
        volume_factor,
        passed_weight
        - if(is_seam and not is_first_move, has_explained_return_weight, 0) as passed_weight,
        applicable_weight
        + if(is_seam and is_first_move, has_explained_return_weight, 0) as applicable_weight,
        is_provisional,
        is_valid and not (is_seam and has_explained_return_is_error) as is_valid,
        trade_date,
        extracted_at
    from with_seams

)

select * from judged
