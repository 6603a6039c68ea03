{#- Fails with each row in which one of the columns is null. -#}
{% test no_nulls(model, columns) %}

    select {{ columns | join(', ') }}
    from {{ model }}
    where {{ columns | join(' is null or ') }} is null

{% endtest %}
