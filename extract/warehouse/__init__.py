"""The warehouse: its connection, the batches that are loaded into it, the notes about them, and dbt's builds."""

from extract.imports import without

# Before any module here imports it, and without data frames and the Storage API, which none uses: they take half of
# the time of the import.
with without("pandas", "pandas_gbq", "google.cloud.bigquery_storage_v1"):
    import google.cloud.bigquery  # noqa: F401
