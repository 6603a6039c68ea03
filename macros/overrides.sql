{#- Writes the descriptions of columns into BigQuery, in place of dbt's own macro, which sends five
    requests for each model. The description of the relation is in the statement that made it, and a
    merge leaves the descriptions of the table as they are. -#}
{% macro bigquery__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if for_columns and config.persist_column_docs() and not is_incremental() -%}
        {%- do adapter.update_columns(relation, model.columns) -%}
    {%- endif -%}
{%- endmacro %}

{#- Whether a query returns the columns of the model's contract: here always, in place of dbt's own
    macro, which sends two statements for each model and build. What a query returns changes with
    the project alone, so tests/sql asks it of each commit; and each table is made with the types
    and constraints of its contract. -#}
{% macro bigquery__get_assert_columns_equivalent(sql) -%}
{%- endmacro %}
