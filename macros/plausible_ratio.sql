{#- The share ratio of a split or bonus that would cause this price ratio, such as 10, 2, 1.5 or
    4/3; null if no plausible one does.

    Arguments:
        price_ratio (float64): new price divided by old price, or the step of the traded price
            divided by the step of the adjusted price.

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
