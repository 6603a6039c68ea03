"""The warehouse: its connection, the batches that are loaded into it, and dbt's builds."""
