{#- The first trade date that this run merges: a constant, so that BigQuery prunes partitions by it.

    Arguments:
        context_days (integer): reach this many days further back, for what the first merged bars look back to.

    Example: where trade_date >= {{ window_start(context_days=45) }} -#}
{% macro window_start(context_days=0) -%}
    {%- if context_days -%}
        date_sub(date '{{ var('window_start') }}', interval {{ context_days }} day)
    {%- else -%}
        date '{{ var('window_start') }}'
    {%- endif -%}
{%- endmacro %}
