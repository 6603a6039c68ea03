{#- Fails with each combination of the columns that more than one row has, or that has a null in it:
    a null key never matches in a merge, so each run would insert its row again. -#}
{% test grain(model, columns) %}

    select
        {{ columns | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ columns | join(', ') }}
    having
        count(*) > 1
        {% for column in columns %}
            or {{ column }} is null
        {% endfor %}

{% endtest %}
