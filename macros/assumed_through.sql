{#- The last day for which dim_trading_sessions assumes sessions. It lies ahead of today, so that
    queries before the next build still find the session that is due. Unit tests replace it by a
    constant day. -#}
{% macro assumed_through() -%}
    date_add(current_date('Asia/Kolkata'), interval 60 day)
{%- endmacro %}
