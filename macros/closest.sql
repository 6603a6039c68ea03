{#- The value of a column in the row that is closest to an ex-date, of those that a condition holds
    for.

    Arguments:
        column (any): of rows with a trade_date and a known_from.
        condition (boolean): which rows count.
        direction (string): 'desc' for the last one before the ex-date, 'asc' for the first one after it.

    Example: {{ closest('close', 'trade_date < ex_date', 'desc') }} as close_before -#}
{% macro closest(column, condition, direction) -%}
    array_agg(
        if({{ condition }}, {{ column }}, null) ignore nulls
        -- The others last: the embedded warehouse cuts the array before it leaves out nulls.
        order by if({{ condition }}, 0, 1), trade_date {{ direction }}, known_from {{ direction }}
        limit 1
    )[safe_offset(0)]
{%- endmacro %}
