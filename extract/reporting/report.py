"""The report that a command writes when it ends: a row of the raw table ``extract_runs``."""

from dataclasses import asdict, dataclass, field
from datetime import datetime

import pyarrow as pa
import structlog

from extract.errors import FAILED, INCOMPLETE, INTERRUPTED, OK, USAGE, ConfigurationError, PipelineError
from extract.fetching.ledger import Extraction
from extract.landing.archive import Archive
from extract.landing.raw import EXTRACT_RUNS
from extract.settings import Settings
from extract.warehouse.build import Build
from extract.warehouse.connection import open_warehouse
from extract.warehouse.loading import load
from extract.warehouse.replay import Replay

_log = structlog.get_logger()


@dataclass(slots=True)
class Outcome:
    """What a command that writes has done so far. It is updated as the command runs, so that an error can be reported.

    Attributes:
        extraction: what was requested and received; None if the command sends no requests.
        replayed: what was loaded from the archive; None if the command does not replay.
        builds: the builds.
        shortfalls: what was expected and did not come, a sentence each.
        told: the report, once it is in the archive.
    """

    extraction: Extraction | None = None
    replayed: Replay | None = None
    builds: list[Build] = field(default_factory=list)
    shortfalls: list[str] = field(default_factory=list)
    told: "Report | None" = None

    @property
    def built(self) -> Build | None:
        """The last build, which is the one that counts."""
        return self.builds[-1] if self.builds else None

    @property
    def exit_status(self) -> int:
        """The exit status of a command that was not stopped by an error; see ``extract.cli.main``."""
        return FAILED if self.built and self.built.failed else INCOMPLETE if self.shortfalls else OK

    @property
    def reason(self) -> str | None:
        """Why the exit status is not 0."""
        failed = [f"{node}: {reason}" for node, reason in self.built.failed] if self.built else []
        return "; ".join([*failed, *self.shortfalls]) or None


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
        outcome: Outcome,
        started_at: datetime,
        ended_at: datetime,
        error: BaseException | None = None,
    ) -> "Report":
        """Sum up a command.

        Args:
            command: its name.
            outcome: what it has done.
            started_at: a time with zone.
            ended_at: a time with zone.
            error: the error that ended it early; None if there was none.
        """
        extraction = outcome.extraction
        landed_row_count = outcome.replayed.rows if outcome.replayed else 0
        if extraction:
            landed_row_count = sum(extraction.landed_rows.values())
        built = outcome.built
        return cls(
            command=command,
            exit_status=outcome.exit_status if error is None else _exit_status(error),
            reason=outcome.reason if error is None else _words(error),
            request_count=extraction.requests.total() if extraction else 0,
            failed_request_count=extraction.failed_requests.total() if extraction else 0,
            landed_row_count=landed_row_count,
            built_node_count=built.passed if built else None,
            failed_node_count=len(built.failed) if built else None,
            bytes_processed=sum(build.bytes_processed for build in outcome.builds) if built else None,
            bytes_billed=sum(build.bytes_billed for build in outcome.builds) if built else None,
            started_at=started_at,
            ended_at=ended_at,
        )

    @property
    def elapsed_seconds(self) -> float:
        """From the start of the command to its report."""
        return (self.ended_at - self.started_at).total_seconds()


def _exit_status(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return USAGE if isinstance(error, ConfigurationError) else FAILED


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was stopped"
    if isinstance(error, ConfigurationError | PipelineError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def archive_report(told: Report, run_id: str, archive: Archive) -> str:
    """Archive a report, and return its path. From then on it is safe, even if it is not loaded yet.

    Raises:
        PipelineError: the archive failed.
    """
    rows = pa.Table.from_pylist([asdict(told)], EXTRACT_RUNS.provider_columns)
    return archive.write(EXTRACT_RUNS, rows, run_id, 0, told.ended_at)


def load_report(path: str, archive: Archive, settings: Settings) -> None:
    """Load an archived report. If this fails, or the process dies before it, the next run loads the report."""
    try:
        with open_warehouse(settings) as warehouse:
            load(warehouse, [archive.read(path)])
    except Exception as error:
        _log.warning("report not loaded; the next run loads it", path=path, reason=str(error))
