{#- Whether a bar was received before its close is final: until eight in the morning of the day
    after. The extractor's `final_through` says the same.

    Arguments:
        received_at (timestamp): when the provider answered.
        trade_date (date): of the bar.

    Example: {{ is_provisional('extracted_at', 'trade_date') }} as is_provisional -#}
{% macro is_provisional(received_at, trade_date) -%}
    date(timestamp_sub({{ received_at }}, interval 8 hour), 'Asia/Kolkata') <= {{ trade_date }}
{%- endmacro %}
