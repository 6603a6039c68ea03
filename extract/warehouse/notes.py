"""The notes in raw: the batches that the marts have yet to merge, and the builds."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import pyarrow as pa

from extract.landing.batch import Batch
from extract.warehouse.connection import Warehouse
from extract.warehouse.errors import as_pipeline_error
from extract.warehouse.loading import held_paths
from extract.warehouse.tables import (
    BATCH_EVENTS,
    BATCH_EVENTS_SCHEMA,
    BUILDS,
    BUILDS_SCHEMA,
)


def note_landing(warehouse: Warehouse, batches: Sequence[Batch]) -> None:
    """Note for batches that are about to be loaded when they came, and which symbols they change from which day on.

    Batches on which no bar depends are not noted.
    """
    _note(
        warehouse,
        (
            {
                "_archive_path": batch.path,
                "event": "landing",
                "oldest_date": oldest_date,
                "symbols": ",".join(symbols),
                "received_at": batch.received_at,
            }
            for batch in batches
            if batch.table.dates
            for oldest_date, symbols in batch.oldest_dates.items()
        ),
    )


def note_merged(warehouse: Warehouse, paths: Iterable[str]) -> None:
    """Note that a build has merged these batches."""
    _note(warehouse, ({"_archive_path": path, "event": "merged"} for path in paths))


def _note(warehouse: Warehouse, events: Iterable[dict[str, object]]) -> None:
    now = datetime.now(UTC)
    rows = [event | {"recorded_at": now} for event in events]
    if rows:
        with as_pipeline_error(f"writing into {warehouse.raw}.{BATCH_EVENTS} failed"):
            # A repeated note is harmless, so each job has a new id.
            warehouse.append(
                f"{warehouse.raw}.{BATCH_EVENTS}",
                pa.Table.from_pylist(rows, BATCH_EVENTS_SCHEMA),
                f"note_{uuid.uuid4().hex}",
            )


def unmerged_batches(warehouse: Warehouse) -> list[str]:
    """The paths of the batches that raw holds and that were not yet noted as merged, sorted.

    A batch that was noted as landing but never loaded is not included: it will land again, and is merged then.
    """
    noted = warehouse.query(
        f"""
        select _archive_path
        from `{warehouse.raw}.{BATCH_EVENTS}`
        group by _archive_path
        having countif(event = 'merged') = 0
        """
    )
    return sorted(held_paths(warehouse, {row["_archive_path"] for row in noted}))


def note_build(warehouse: Warehouse, project_digest: str, window_start: date | None) -> None:
    """Note a build in which every model and test passed; ``window_start`` is None for a full build."""
    row = {"project_digest": project_digest, "window_start": window_start, "built_at": datetime.now(UTC)}
    with as_pipeline_error("noting the build failed"):
        rows = pa.Table.from_pylist([row], BUILDS_SCHEMA)
        warehouse.append(f"{warehouse.raw}.{BUILDS}", rows, f"note_build_{uuid.uuid4().hex}")


def last_project_digest(warehouse: Warehouse) -> str | None:
    """The digest of the project that built the marts; None if nothing was built."""
    rows = list(
        warehouse.query(f"select project_digest from `{warehouse.raw}.{BUILDS}` order by built_at desc limit 1")
    )
    return rows[0]["project_digest"] if rows else None


def last_built_at(warehouse: Warehouse) -> datetime | None:
    """When the last build ended in which every model and test passed; None if there is none."""
    if not warehouse.exists(f"{warehouse.dataset}_raw.{BUILDS}"):
        return None
    (row,) = warehouse.query(f"select max(built_at) as built_at from `{warehouse.raw}.{BUILDS}`")
    built_at: datetime | None = row["built_at"]
    return built_at
