"""Load the archived batches that raw lacks: to recover from a loss, or to load another archive."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby, islice

import structlog

from extract.landing.archive import Archive
from extract.landing.batch import Batch, BatchRefused, read_batch
from extract.landing.raw import EXTRACT_REQUESTS
from extract.warehouse.connection import Warehouse
from extract.warehouse.loading import load, loaded_paths
from extract.warehouse.notes import note_landing

_log = structlog.get_logger()

# One load job takes many batches, because BigQuery allows 1,500 load jobs a day for a table, and 16 years of daily
# batches are 4,000. It does not take too many, because a job may change at most 4,000 daily partitions of a table. The
# number of rows is limited to bound the memory.
_BATCHES_PER_LOAD = 500
_ROWS_PER_LOAD = 250_000

# So many objects are read at once, and held in memory before the load, as Parquet: the rows need ten times the memory.
# Three years of two sources are 42,000 objects. Where each takes 50 ms, they were read in 215 s (two busy cores); one
# after the other, they would take 35 minutes.
_READS_AT_ONCE = 16


@dataclass(slots=True)
class Replay:
    """What a replay did.

    Attributes:
        found: the number of batches in the archive, refused ones included.
        loaded: the number of batches that were loaded into raw.
        rows: the number of their rows.
        refused: the refused batches, as (path, reason).
    """

    found: int = 0
    loaded: int = 0
    rows: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


def replay(
    archive: Archive,
    warehouse: Warehouse,
    progress: Callable[[int, int], None],
    *,
    since: date | None = None,
    outcome: Replay | None = None,
) -> Replay:
    """Load every batch of the archive that raw lacks; a batch that cannot be loaded is refused by name.

    Args:
        archive: where the batches are.
        warehouse: where they go.
        progress: called after each load with the number of missing batches done, and of all.
        since: only batches that were extracted on this day (UTC) or later.
        outcome: updated as the replay goes on, and returned; by default, a new one.

    Raises:
        PipelineError: the archive or the warehouse failed. What was loaded before stays; run it again for the rest.
    """
    warehouse.create_raw()
    outcome = outcome or Replay()
    paths = archive.paths_since(since) if since else archive.paths()
    outcome.found = len(paths)
    known = loaded_paths(warehouse, since)
    # The ledger last: it says what earlier runs have received, and must not say so of bars that raw lacks because this
    # replay was killed.
    missing = sorted(
        (path for path in paths if path not in known),
        key=lambda path: (path.startswith(f"{EXTRACT_REQUESTS.name}/"), path),
    )
    progress(0, len(missing))
    for batches in _load_jobs(_accepted(archive, missing, outcome)):
        note_landing(warehouse, batches)
        load(warehouse, batches)
        outcome.loaded += len(batches)
        rows = sum(batch.rows.num_rows for batch in batches)
        outcome.rows += rows
        _log.info("batches loaded", raw_table=batches[0].table.name, batches=len(batches), rows=rows)
        progress(outcome.loaded + len(outcome.refused), len(missing))
    progress(len(missing), len(missing))
    return outcome


def _accepted(archive: Archive, paths: list[str], outcome: Replay) -> Iterator[Batch]:
    """The batches in the order of their paths, read ahead; a refused batch is noted in ``outcome``, and left out."""
    waiting = iter(paths)
    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="archive") as readers:
        reading = deque((path, readers.submit(archive.body, path)) for path in islice(waiting, _READS_AT_ONCE))
        while reading:
            path, body = reading.popleft()
            try:
                batch = read_batch(path, body.result())
            except BatchRefused as refusal:
                outcome.refused.append((refusal.path, refusal.reason))
                _log.error("batch refused", path=refusal.path, reason=refusal.reason)
            else:
                yield batch
            reading.extend((path, readers.submit(archive.body, path)) for path in islice(waiting, 1))


def _load_jobs(batches: Iterator[Batch]) -> Iterator[list[Batch]]:
    for _, of_table in groupby(batches, key=lambda batch: batch.table.name):
        job: list[Batch] = []
        for batch in of_table:
            if job and (
                len(job) == _BATCHES_PER_LOAD
                or sum(b.rows.num_rows for b in job) + batch.rows.num_rows > _ROWS_PER_LOAD
            ):
                yield job
                job = []
            job.append(batch)
        if job:
            yield job
