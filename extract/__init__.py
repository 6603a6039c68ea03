"""Fetch what the providers send, archive it, append it to BigQuery, and start dbt. All judgement is SQL, in models/."""
