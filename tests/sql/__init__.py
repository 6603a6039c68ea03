"""The SQL as BigQuery would read it."""
