"""What a command says of itself when it ends: a row of the raw table ``extract_runs``."""

from dataclasses import asdict, dataclass
from datetime import datetime

import pyarrow as pa

from extract.archive import Archive
from extract.build import Build
from extract.extraction import Extraction
from extract.raw import EXTRACT_RUNS
from extract.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Report:
    """How a command ended; the source ``extract_runs`` and the model operations_runs describe each column."""

    command: str
    exit_status: int
    reason: str | None
    request_count: int
    failed_request_count: int
    landed_row_count: int
    built_node_count: int | None
    failed_node_count: int | None
    bytes_processed: int | None
    bytes_billed: int | None
    started_at: datetime
    ended_at: datetime

    @classmethod
    def of(
        cls,
        command: str,
        exit_status: int,
        reason: str | None,
        started_at: datetime,
        ended_at: datetime,
        *,
        extraction: Extraction | None = None,
        landed_row_count: int = 0,
        built: Build | None = None,
    ) -> "Report":
        """Sum up a command.

        Args:
            command: its name.
            exit_status: see ``extract.cli.main``.
            reason: why that is not 0.
            started_at: a time with zone.
            ended_at: a time with zone.
            extraction: what it asked for, and what came.
            landed_row_count: rows that it appended to raw, where it asked nobody.
            built: what it built.
        """
        entries = extraction.entries if extraction else []
        return cls(
            command=command,
            exit_status=exit_status,
            reason=reason,
            request_count=sum(entry.attempts > 0 for entry in entries),
            failed_request_count=sum(
                entry.attempts > 0 and entry.outcome in ("refused", "unavailable") for entry in entries
            ),
            landed_row_count=sum(extraction.landed_rows.values()) if extraction else landed_row_count,
            built_node_count=built.passed if built else None,
            failed_node_count=len(built.failed) if built else None,
            bytes_processed=built.bytes_processed if built else None,
            bytes_billed=built.bytes_billed if built else None,
            started_at=started_at,
            ended_at=ended_at,
        )

    @property
    def elapsed_seconds(self) -> float:
        """From the start of the command to its report."""
        return (self.ended_at - self.started_at).total_seconds()


def file_report(told: Report, run_id: str, archive: Archive, warehouse: Warehouse) -> None:
    """Archive a report and load it. Where the process dies between the two, the next run loads it.

    Raises:
        PipelineError: the archive or the warehouse failed.
    """
    rows = pa.Table.from_pylist([asdict(told)], EXTRACT_RUNS.provider_columns)
    path = archive.write(EXTRACT_RUNS, rows, run_id, 0, told.ended_at)
    warehouse.load([archive.read(path)])
