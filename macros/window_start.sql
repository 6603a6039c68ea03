{#- The first trade date that this run merges for every symbol. It is a constant, so that BigQuery
    prunes partitions by it. `trading-data build` takes it from operations_build_window. If it is not
    set, everything is merged, which is always right but expensive. It is an environment variable
    that is read only when a statement is made: after a change of a dbt var, or of a variable that
    was read while dbt parsed, dbt would parse the project again, which takes seconds.

    Arguments:
        context_days (integer): start this many days earlier, to read the earlier bars that the
            first merged bars are compared with.

    Example: where trade_date >= {{ window_start(context_days=45) }} -#}
{% macro window_start(context_days=0) -%}
    {{ days_before(window_variable('WINDOW_START', '1900-01-01'), context_days) }}
{%- endmacro %}

{#- The first trade date that this run merges for any symbol: for the few symbols whose past has
    changed, the window is deeper than for the others. -#}
{% macro oldest_window_start(context_days=0) -%}
    {{ days_before(
        [
            window_variable('WINDOW_START', '1900-01-01'), window_variable('DEEP_WINDOW_START', '1900-01-01')
        ] | min,
        context_days
    ) }}
{%- endmacro %}

{#- Whether this run merges a bar: the bar is in the window, or in the deeper window of the few
    symbols whose past has changed. Both bounds are constants.

    Arguments:
        trade_date (date): of the bar.
        symbol (string): of the bar.
        context_days (integer): start both windows this many days earlier.

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

{#- A constant date: `day` less `days` days. -#}
{% macro days_before(day, days) -%}
    {%- if days -%}
        date_sub(date '{{ day }}', interval {{ days }} day)
    {%- else -%}
        date '{{ day }}'
    {%- endif -%}
{%- endmacro %}

{#- An environment variable that dbt does not read while it parses, so that a change of it does not
    make dbt parse again. -#}
{% macro window_variable(name, default) -%}
    {{ env_var(name, default) if execute else default }}
{%- endmacro %}
