{#- The first trade date that this run merges of every symbol: a constant, so that BigQuery prunes
    partitions by it. `trading-data build` takes it from operations_build_window; without it,
    everything is merged, which is always right and never cheap. It comes as an environment variable
    and not as a var, because a changed var makes dbt parse the whole project anew, for 6 seconds.

    Arguments:
        context_days (integer): reach this many days further back, for what the first merged bars
            look back to.

    Example: where trade_date >= {{ window_start(context_days=45) }} -#}
{% macro window_start(context_days=0) -%}
    {{ days_before(env_var('WINDOW_START', '1900-01-01'), context_days) }}
{%- endmacro %}

{#- The first trade date that this run merges of any symbol: of a few, whose past has changed,
    more of it is merged than of the others. -#}
{% macro oldest_window_start(context_days=0) -%}
    {{ days_before(
        [env_var('WINDOW_START', '1900-01-01'), env_var('DEEP_WINDOW_START', '1900-01-01')] | min, context_days
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
    {%- set symbols = env_var('DEEP_WINDOW_SYMBOLS', '') -%}
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
