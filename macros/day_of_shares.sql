{#- The day in whose shares a bar is expressed. The exchange's record is as traded, whenever it was
    received; a provider sends all of its past in shares of the day of receipt.

    Arguments:
        source_id (string): the source of the bar.
        trade_date (date): of the bar.
        received_at (timestamp): when it was first received.

    Example: {{ day_of_shares('source_id', 'trade_date', 'first_sent_at') }} as known_on -#}
{% macro day_of_shares(source_id, trade_date, received_at) -%}
    if(
            {{ source_id }} = '{{ var('exchange_source') }}',
            {{ trade_date }},
            {{ day_of_receipt(received_at) }}
        )
{%- endmacro %}
