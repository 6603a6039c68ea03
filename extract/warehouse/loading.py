"""Load archived batches into raw, each once, however often it is tried."""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from datetime import date

import pyarrow as pa
from google.api_core.exceptions import Conflict, GoogleAPICallError
from google.cloud import bigquery

from extract.errors import PipelineError
from extract.landing.batch import Batch
from extract.landing.raw import RAW_TABLES
from extract.warehouse.connection import LOAD_SECONDS, RETRY, TIMEOUT, Warehouse
from extract.warehouse.errors import as_pipeline_error

# BigQuery keeps the id of a load job for months, even if the job failed, so each further attempt has the next number.
# If a table is dropped and created again, its load jobs have new ids.
_LOAD_ATTEMPTS = 20


def load(warehouse: Warehouse, batches: Sequence[Batch]) -> None:
    """Append batches of one raw table in one atomic job: all of them or none.

    The job's id is derived from the batches' paths and the table's creation time, and BigQuery accepts an id only
    once. If two processes load the same batches, or an answer was lost, the second attempt finds the first job
    instead of loading again. A table that was dropped and created again, as a candidate's is each week, has another
    creation time, so it is loaded.

    Raises:
        PipelineError: BigQuery refused or failed; none of these batches is in raw.
    """
    table = f"{warehouse.raw}.{batches[0].table.name}"
    paths = {batch.path for batch in batches}
    rows = pa.concat_tables([batch.rows for batch in batches])
    with as_pipeline_error(f"loading into {table} failed"):
        born_at = warehouse.client.get_table(table, timeout=TIMEOUT, retry=RETRY).created
        job_id = f"load_{batches[0].table.name}_{_digest([table, str(born_at), *sorted(paths)])}"
        for attempt in range(1, _LOAD_ATTEMPTS + 1):
            try:
                warehouse.append(table, rows, f"{job_id}_{attempt}")
            except Conflict:
                earlier = warehouse.client.get_job(f"{job_id}_{attempt}", timeout=TIMEOUT, retry=RETRY)
                with contextlib.suppress(GoogleAPICallError):
                    earlier.result(timeout=LOAD_SECONDS)
                if not paths <= held_paths(warehouse, paths):
                    continue
            return
    raise PipelineError(f"loading into {table} failed {_LOAD_ATTEMPTS} times; see the jobs {job_id}_*")


def loaded_paths(warehouse: Warehouse, since: date | None = None) -> set[str]:
    """The archive paths of the batches that raw holds: all, or those extracted on a day (UTC) or later."""
    where = f" where _extracted_at >= timestamp('{since}')" if since else ""
    selects = (f"select distinct _archive_path from `{warehouse.raw}.{name}`{where}" for name in RAW_TABLES)
    return {row["_archive_path"] for row in warehouse.query("\nunion all\n".join(selects))}


def held_paths(warehouse: Warehouse, paths: set[str]) -> set[str]:
    """Those of the given paths whose batches raw holds."""
    tables = sorted({path.partition("/")[0] for path in paths} & RAW_TABLES.keys())
    if not tables:
        return set()
    # Read only the partitions since the first day on which they were extracted, however long the history is.
    first_day = min(path.split("extracted_on=")[1][:10] for path in paths)
    selects = (
        f"select distinct _archive_path from `{warehouse.raw}.{name}`"
        f" where _extracted_at >= timestamp('{first_day}') and _archive_path in unnest(@paths)"
        for name in tables
    )
    asked = bigquery.ArrayQueryParameter("paths", "STRING", sorted(paths))
    return {row["_archive_path"] for row in warehouse.query("\nunion all\n".join(selects), [asked])}


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
