{#- The share ratio that a price ratio stands for, where a split or a bonus can have it: 10, 2, 1.5,
    4/3; else null.

    Arguments:
        price_ratio (float64): new by old price, or the step of a price as traded by that of one that
            was adjusted.

    Example: {{ plausible_ratio('0.1') }} is 10 -#}
{% macro plausible_ratio(price_ratio) -%}
    (
        select round(round(denominator / {{ price_ratio }}) / denominator, 6)
        from unnest([1, 2, 3, 4, 5, 10]) as denominator
        where
            abs(
                round(denominator / {{ price_ratio }}) / (denominator / {{ price_ratio }}) - 1
            ) <= 0.002
        order by denominator
        limit 1
    )
{%- endmacro %}
