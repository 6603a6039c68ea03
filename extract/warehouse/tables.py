"""The tables of the raw dataset: those of the batches, and those of the notes about batches, builds and alerts."""

import pyarrow as pa
from google.cloud import bigquery

from extract.landing.raw import RAW_TABLES

_BIGQUERY_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.string(): "STRING",
    pa.int64(): "INT64",
    pa.float64(): "FLOAT64",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}

# The batches that the marts have yet to merge. A batch is noted here before it is loaded, and again after the build
# that merged it, so that a process may die between any two steps and the next build still reaches back far enough.
BATCH_EVENTS = "batch_events"
BATCH_EVENTS_SCHEMA = pa.schema(
    [
        pa.field("_archive_path", pa.string()),
        pa.field("event", pa.string()),
        pa.field("oldest_date", pa.date32()),
        pa.field("symbols", pa.string()),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC")),
        pa.field("received_at", pa.timestamp("us", tz="UTC")),
    ]
)

# The version of the models and seeds that built the marts; another version builds all of them again.
BUILDS = "builds"
BUILDS_SCHEMA = pa.schema(
    [
        pa.field("project_digest", pa.string()),
        pa.field("window_start", pa.date32()),
        pa.field("built_at", pa.timestamp("us", tz="UTC")),
    ]
)


def raw_tables(dataset: str) -> list[bigquery.Table]:
    """The definitions of the tables of the raw dataset, which is named with its project."""
    return [
        *(_table(f"{dataset}.{t.name}", t.schema, "_extracted_at", [t.symbol]) for t in RAW_TABLES.values()),
        _table(f"{dataset}.{BATCH_EVENTS}", BATCH_EVENTS_SCHEMA, "recorded_at", ["_archive_path"]),
        _table(f"{dataset}.{BUILDS}", BUILDS_SCHEMA, "built_at", ["project_digest"]),
    ]


def schema_of(schema: pa.Schema) -> list[bigquery.SchemaField]:
    """The columns of a table, in BigQuery's types."""
    return [bigquery.SchemaField(field.name, _BIGQUERY_TYPES[field.type]) for field in schema]


def _table(name: str, schema: pa.Schema, partition: str, clustering: list[str]) -> bigquery.Table:
    table = bigquery.Table(name, schema=schema_of(schema))
    table.time_partitioning = bigquery.TimePartitioning(type_=bigquery.TimePartitioningType.DAY, field=partition)
    table.clustering_fields = clustering
    return table
