{#- Whether a bar was received before its close was final: on or before its own
    day, where the day ends at 08:00 IST of the next one.

    Arguments:
        received_at (timestamp): when the provider answered.
        trade_date (date): of the bar.

    Example: {{ is_provisional('extracted_at', 'trade_date') }} as is_provisional -#}
{% macro is_provisional(received_at, trade_date) -%}
    {{ day_of_receipt(received_at) }} <= {{ trade_date }}
{%- endmacro %}
