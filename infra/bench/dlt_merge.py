"""dlt, with Arrow tables: it deduplicates and merges by key, and validates nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import dlt
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.destinations import bigquery
from dlt.sources.credentials import GcpServiceAccountCredentials
from google.auth.credentials import AnonymousCredentials

from infra.bench.peer import DATASET, KEY, PROJECT

# `delete-insert` is dlt's default, and deduplicates; `upsert` is one MERGE, and needs unique keys in the input, so its
# user must deduplicate.
_STRATEGY = os.environ.get("DLT_STRATEGY", "delete-insert")


# dlt converts all credentials to a class of its own, which would sign requests.
GcpServiceAccountCredentials.to_native_credentials = lambda _: AnonymousCredentials()  # type: ignore[no-untyped-call]


def load(path: Path) -> None:
    """Merge the rows of a file."""
    rows = pq.read_table(path)
    if _STRATEGY == "upsert":
        rows = _latest(rows)

    @dlt.resource(  # type: ignore[untyped-decorator]
        name="bars",
        primary_key=KEY,
        write_disposition={"disposition": "merge", "strategy": _STRATEGY},
        columns={"extracted_at": {"dedup_sort": "desc"}},
    )
    def bars() -> Iterator[pa.Table]:
        yield rows

    credentials = GcpServiceAccountCredentials(project_id=PROJECT, private_key="none", client_email="none@example.com")
    pipeline = dlt.pipeline(
        "bench",
        destination=bigquery(credentials=credentials),
        dataset_name=DATASET,
        pipelines_dir=os.environ["DLT_DATA_DIR"],
    )
    pipeline.run(bars(), loader_file_format="parquet").raise_on_failed_jobs()


def _latest(rows: pa.Table) -> pa.Table:
    values = [(name, "last") for name in rows.column_names if name not in KEY]
    latest = rows.sort_by("extracted_at").group_by(list(KEY), use_threads=False).aggregate(values)
    return latest.rename_columns([name.removesuffix("_last") for name in latest.column_names])


delta = load
