{#- Whether the step of a price from one session to the next can be a share event of a ratio. A
    price moves by at most 20 % in a day, so the step of a small event must be nearer than that of
    a large one.

    Arguments:
        step (float64): the price after it divided by the price before it.
        log_price_ratio (float64): the logarithm of the ratio that the event gives the prices.

    Example: {{ is_step_of('traded_step', 'ln(price_ratio)') }} as is_shown -#}
{% macro is_step_of(step, log_price_ratio) -%}
    abs(ln({{ step }}) - {{ log_price_ratio }})
    <= least(0.2, 0.4 * abs({{ log_price_ratio }}))
{%- endmacro %}
