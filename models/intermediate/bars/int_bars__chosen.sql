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

    select * except (is_of_sound_session) from scored
    qualify
        row_number() over (
            partition by symbol, trade_date
            order by
                is_valid desc,
                if(is_of_sound_session is false, 1, 0) asc,
                precedence asc,
                source_id asc
        ) = 1

)

select * from chosen
