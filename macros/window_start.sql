{#- The first trade date that this run merges, as a date literal: constant, so that BigQuery prunes partitions by it.

    Arguments:
        context_days (integer): reach this many days further back, for what the first merged bars look back to.

    Example: where trade_date >= {{ window_start(context_days=45) }} -#}
{% macro window_start(context_days=0) -%}
    {%- set start = modules.datetime.date.fromisoformat(var('window_start')) -%}
    {%- if start.year > 1900 -%}
        {%- set start = start - modules.datetime.timedelta(days=context_days) -%}
    {%- endif -%}
    date '{{ start.isoformat() }}'
{%- endmacro %}
