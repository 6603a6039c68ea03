{#- The rows of the exchange's record, each with the symbol that its share has today; null if it is
    none of our instruments. A row with the ISIN of a share is that share's, whatever its symbol;
    without an ISIN, the symbol of its day decides.

    Arguments:
        records (relation or CTE): with symbol, isin and trade_date.

    Example: named as ({{ with_symbol_today('records') }}) -#}
{% macro with_symbol_today(records) -%}
    select
        records.*,
        if(
            records.isin is null,
            coalesce(former_symbols.symbol, records.symbol),
            isins.symbol
        ) as symbol_today
    from {{ records }} as records
    left join {{ ref('int_isins__resolved') }} as isins
        on substr(records.isin, 1, 9) = isins.share_code
    left join {{ ref('int_symbols__resolved') }} as former_symbols
        on
            records.symbol = former_symbols.former_symbol
            and records.trade_date <= former_symbols.last_used_on
{%- endmacro %}
