{#- The value of a column in the row closest to an ex-date, among the rows that meet a condition.

    Arguments:
        column (any): a column of rows that also have a trade_date and a first_sent_at.
        condition (boolean): which rows count.
        direction (string): 'desc' for the last one before the ex-date, 'asc' for the first one after it.

    Example: {{ closest('close', 'trade_date < ex_date', 'desc') }} as close_before -#}
{% macro closest(column, condition, direction) -%}
    array_agg(
        if({{ condition }}, {{ column }}, null) ignore nulls
        order by trade_date {{ direction }}, first_sent_at {{ direction }}
        limit 1
    )[safe_offset(0)]
{%- endmacro %}
