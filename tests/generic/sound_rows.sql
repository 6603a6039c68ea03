{#- All rules of a model in one statement that reads the model once. A returned row is a rule that
    some rows break: its name, how many rows do, and the key of one of them.

    Arguments:
        grain (list of columns): no two rows have the same values in them, and none is null. A null
            key never matches in a merge, so each run would insert its row again.
        not_null (list of columns): which are never null.
        accepted_values (map of column to list of strings): what it holds where it is not null.
        parents (map of column to relation): its values are those of the relation's column of the
            same name.
        never (map of name to condition): no row meets the condition.
        window (column): the date by which a build merges the model's rows. The test looks at the
            rows that the build merges; without it, at all rows. -#}
{% test sound_rows(
    model, grain=[], not_null=[], accepted_values={}, parents={}, never={}, window=none
) %}

    {%- set breaches = {} -%}
    {%- for column in grain + not_null -%}
        {%- do breaches.update({column ~ ' is null': column ~ ' is null'}) -%}
    {%- endfor -%}
    {%- for column, values in accepted_values.items() -%}
        {%- set condition = column ~ " not in ('" ~ values | join("', '") ~ "')" -%}
        {%- do breaches.update({column ~ ' has another value': condition}) -%}
    {%- endfor -%}
    {%- for column, parent in parents.items() -%}
        {%- set condition = column ~ ' not in (select ' ~ column ~ ' from ' ~ parent ~ ')' -%}
        {%- do breaches.update({column ~ ' is not in ' ~ parent.identifier: condition}) -%}
    {%- endfor -%}
    {%- do breaches.update(never) -%}

    {%- set counts = ['count(*) as occurrences'] -%}
    {%- set outcomes = [] -%}
    {%- set grouping = 'group by ' ~ grain | join(', ') if grain else '' -%}
    {%- set example = 'cast(null as string)' -%}
    {%- if grain -%}
        {%- set names = [] -%}
        {%- for column in grain -%}
            {%- do names.append(column ~ ' as ' ~ column) -%}
        {%- endfor -%}
        {%- set example = 'to_json_string(struct(' ~ names | join(', ') ~ '))' -%}
        {%- do outcomes.append(
            "struct('" ~ grain | join(', ') ~ " is repeated' as rule,"
            ~ " if(occurrences > 1, occurrences, 0) as row_count)"
        ) -%}
    {%- endif -%}
    {%- for rule, condition in breaches.items() -%}
        {%- set count = 'breaches_' ~ loop.index -%}
        {%- do counts.append('countif(' ~ condition ~ ') as ' ~ count) -%}
        {%- do outcomes.append("struct('" ~ rule ~ "' as rule, " ~ count ~ ' as row_count)') -%}
    {%- endfor -%}

    with

    keys as (

        select {{ (grain + counts) | join(', ') }}
        from {{ model }}
        where {{ in_window(window) if window else 'true' }} {{ grouping }}

    ),

    broken as (

        select
            outcome.rule,
            outcome.row_count,
            {{ example }} as example
        from keys
        cross join unnest([{{ outcomes | join(', ') }}]) as outcome
        where outcome.row_count > 0

    )

    select
        rule,
        sum(row_count) as row_count,
        min(example) as example
    from broken
    group by rule

{% endtest %}
