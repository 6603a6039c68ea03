{#- The exchange's day on which an answer was received. The day begins at 08:00 IST, because from
    then on the providers have the corporate actions of the day and the final closes of the day
    before. The extractor's `final_through` uses the same hour.

    Arguments:
        received_at (timestamp): when the provider answered.

    Example: {{ day_of_receipt('extracted_at') }} as received_on -#}
{% macro day_of_receipt(received_at) -%}
    date(timestamp_sub({{ received_at }}, interval 8 hour), 'Asia/Kolkata')
{%- endmacro %}
