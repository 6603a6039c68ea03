{#- The last day of which dim_trading_sessions assumes something: what looks at it until the next
    build, which makes it anew, sees a session that is due. Unit tests put a day in its place. -#}
{% macro assumed_through() -%}
    date_add(current_date('Asia/Kolkata'), interval 60 day)
{%- endmacro %}
