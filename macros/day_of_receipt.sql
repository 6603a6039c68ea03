{#- The exchange's day in which an answer was received. It begins at eight in the morning (IST),
    when the providers have taken in the corporate actions of the day, and the final closes of the
    day before. The extractor's `final_through` says the same.

    Arguments:
        received_at (timestamp): when the provider answered.

    Example: {{ day_of_receipt('extracted_at') }} as received_on -#}
{% macro day_of_receipt(received_at) -%}
    date(timestamp_sub({{ received_at }}, interval 8 hour), 'Asia/Kolkata')
{%- endmacro %}
