"""pytest, beside dbt's own tests (``*.sql``, ``generic/``)."""
