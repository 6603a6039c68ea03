{#- Writes the descriptions of columns into BigQuery. It replaces dbt's own macro, which sends five
    requests for each model. The statement that creates a relation already contains the relation's
    description, and a merge does not change the descriptions of a table. -#}
{% macro bigquery__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if for_columns and config.persist_column_docs() and not is_incremental() -%}
        {%- do adapter.update_columns(relation, model.columns) -%}
    {%- endif -%}
{%- endmacro %}

{#- Checks nothing. It replaces dbt's own macro, which compares the columns of a query with the
    model's contract and sends two statements for each model and build. The columns of a query only
    change with the project, so tests/sql checks them for each commit. Each table is created with
    the types and constraints of its contract. -#}
{% macro bigquery__get_assert_columns_equivalent(sql) -%}
{%- endmacro %}

{#- dbt's own merge, except that it renders `incremental_predicates` when the statement is made: a
    model gives them as templates, like a hook. -#}
{% macro bigquery__get_merge_sql(target, source, unique_key, columns, predicates) -%}
    {%- set rendered = [] -%}
    {%- for predicate in predicates -%}
        {%- do rendered.append(render(predicate)) -%}
    {%- endfor -%}
    {{ default__get_merge_sql(target, source, unique_key, columns, rendered) }}
{%- endmacro %}
