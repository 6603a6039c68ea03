{#- The first trade date that this run merges of every symbol: a constant, so that BigQuery prunes
    partitions by it. `trading-data build` takes it from operations_build_window; without it,
    everything is merged, which is always right and never cheap. It comes as an environment variable
    and is read when a statement is made: for a changed var, or a changed variable that was read while
    dbt parsed, dbt parses the project again, for seconds.

    Arguments:
        context_days (integer): reach this many days further back, for what the first merged bars
            look back to.

    Example: where trade_date >= {{ window_start(context_days=45) }} -#}
{% macro window_start(context_days=0) -%}
    {{ days_before(window_variable('WINDOW_START', '1900-01-01'), context_days) }}
{%- endmacro %}

{#- The first trade date that this run merges of any symbol: of a few, whose past has changed,
    more of it is merged than of the others. -#}
{% macro oldest_window_start(context_days=0) -%}
    {{ days_before(
        [
            window_variable('WINDOW_START', '1900-01-01'), window_variable('DEEP_WINDOW_START', '1900-01-01')
        ] | min,
        context_days
    ) }}
{%- endmacro %}

{#- Whether this run merges a bar: it is of the window, or of one of the few symbols whose past has
    changed, for which the window is deeper. Both bounds are constants.

    Arguments:
        trade_date (date): of the bar.
        symbol (string): of the bar.
        context_days (integer): reach this many days further back.

    Example: where {{ in_window('trade_date', context_days=45) }} -#}
{% macro in_window(trade_date, symbol='symbol', context_days=0) -%}
    {%- set symbols = window_variable('DEEP_WINDOW_SYMBOLS', '') -%}
    {%- if symbols -%}
        {{ trade_date }} >= {{ oldest_window_start(context_days) }}
        and (
            {{ trade_date }} >= {{ window_start(context_days) }}
            or {{ symbol }} in ('{{ symbols | replace(",", "', '") }}')
        )
    {%- else -%}
        {{ trade_date }} >= {{ window_start(context_days) }}
    {%- endif -%}
{%- endmacro %}

{#- A constant date, so many days before a day. -#}
{% macro days_before(day, days) -%}
    {%- if days -%}
        date_sub(date '{{ day }}', interval {{ days }} day)
    {%- else -%}
        date '{{ day }}'
    {%- endif -%}
{%- endmacro %}

{#- An environment variable, without a trace of it in what dbt has parsed. -#}
{% macro window_variable(name, default) -%}
    {{ env_var(name, default) if execute else default }}
{%- endmacro %}

{#- dbt's own merge, whose `incremental_predicates` are rendered now: a model gives them as a
    template, like a hook. -#}
{% macro bigquery__get_merge_sql(target, source, unique_key, columns, predicates) -%}
    {%- set rendered = [] -%}
    {%- for predicate in predicates -%}
        {%- do rendered.append(render(predicate)) -%}
    {%- endfor -%}
    {{ default__get_merge_sql(target, source, unique_key, columns, rendered) }}
{%- endmacro %}
