"""The time and cost of the last runs and statements, and whether everything that a run needs is there."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from extract.errors import ConfigurationError, PipelineError, SourceRefused
from extract.landing.archive import Archive
from extract.landing.batch import extraction_day
from extract.landing.lease import holder
from extract.reporting.alerts import Alert
from extract.reporting.past_runs import Bill, Run, read_bill, read_runs
from extract.reporting.status import read_status
from extract.settings import Settings
from extract.sources.kite_session import access_token
from extract.warehouse.connection import Warehouse
from extract.warehouse.loading import loaded_paths
from extract.warehouse.notes import last_built_at, unmerged_batches
from extract.words import counted

# A run ends well each evening and each morning. The alert "No good run in 26 hours" has the same limit.
LONGEST_SILENCE = timedelta(hours=26)

_RECENT_DAYS = 10
_RUNS = 8
_STATEMENTS = 5


@dataclass(frozen=True, slots=True)
class Check:
    """Something that a run needs.

    Attributes:
        subject: what was checked.
        is_ok: whether it is as it must be.
        text: what was found.
        remedy: what to do if it is not ok.
    """

    subject: str
    is_ok: bool
    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class SourceRequests:
    """How one source answered in the last run: counts, and the milliseconds that a request took, waits included."""

    source_id: str
    request_count: int
    failed_count: int
    row_count: int
    median_ms: int
    longest_ms: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One of the slowest statements of the last 24 hours, from BigQuery's list of jobs.

    Attributes:
        job_id: BigQuery's id of the job.
        kind: such as SELECT or MERGE.
        seconds: how long it ran.
        bytes_billed: the bytes that BigQuery billed.
        text: the model or test that sent it; else the beginning of the statement.
    """

    job_id: str
    kind: str
    seconds: float
    bytes_billed: int
    text: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What ``trading-data diagnose`` reports.

    ``at_work`` is the run that holds the lease, None if there is none; ``bill`` is None if nothing was built, or if the
    warehouse is not Google's and so bills nothing.
    """

    at_work: str | None
    checks: list[Check]
    alerts: list[Alert]
    runs: list[Run]
    sources: list[SourceRequests]
    statements: list[Statement]
    bill: Bill | None = None

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to do."""
        return all(check.is_ok for check in self.checks) and all(alert.severity == "INFO" for alert in self.alerts)

    def as_json(self) -> dict[str, Any]:
        """All fields; the JSON encoder converts the times."""
        return {"is_well": self.is_well} | asdict(self)


def diagnose(settings: Settings, warehouse: Callable[[], Warehouse], now: datetime) -> Diagnosis:
    """Check everything that a run needs. If a check cannot be made, it counts as failed and raises no error.

    Args:
        settings: of the command.
        warehouse: returns the warehouse; it may fail.
        now: a time with zone.
    """
    checks: list[Check] = []
    archive: Archive | None = None
    archived: list[str] = []
    at_work: str | None = None
    try:
        archive = Archive(settings.archive_uri)
        archived = archive.paths()
        first = str((now - timedelta(days=_RECENT_DAYS)).date())
        recent = [day for path in archived if (day := extraction_day(path)) and day >= first]
        newest = max(recent, default="none")
        text = f"{settings.archive_uri} has {len(recent)} batches of the last {_RECENT_DAYS} days; the last: {newest}"
        checks.append(Check("archive", bool(recent), text, "trading-data run"))
    except (ConfigurationError, PipelineError) as error:
        checks.append(Check("archive", False, str(error), "correct ARCHIVE_URI, or the access rights to it"))
    if archive is not None:
        writer, at_work = _writer(settings.lease_uri, now)
        checks.append(writer)
    checks.append(_kite_session(settings, now))
    try:
        there = warehouse()
        checks.append(Check("warehouse", True, f"{there.client.project}.{there.dataset} answers"))
        marts, *others = _marts(there, now)
        checks += [marts, *others]
        if marts.is_ok:
            # A command that is at work is about to load what it has archived.
            checks += [_loads(there, archived)] if at_work is None else []
            return Diagnosis(
                at_work,
                checks,
                read_status(there).alerts,
                read_runs(there, _RUNS),
                _source_requests(there),
                _statements(there, now),
                # Only Google's API has no address of its own; any other is an emulator's.
                read_bill(there, now) if there.address is None else None,
            )
    except (ConfigurationError, PipelineError) as error:
        checks.append(Check("warehouse", False, str(error), "correct the cause, then trading-data diagnose"))
    return Diagnosis(at_work, checks, [], [], [], [])


def _writer(lease_uri: str, now: datetime) -> tuple[Check, str | None]:
    """Whether the lease can be read, and the run that holds it."""
    try:
        record = holder(Archive(lease_uri, setting="LEASE_URI"), now)
    except (ConfigurationError, PipelineError) as error:
        return Check("writer", False, str(error), "correct LEASE_URI, or the access rights to it"), None
    if record is None:
        return Check("writer", True, "no other command is running"), None
    return Check("writer", True, f"{record.run_id} ({record.command}) is running; others wait for it"), record.run_id


def _kite_session(settings: Settings, now: datetime) -> Check:
    if not settings.kite.is_configured:
        return Check(
            "kite session",
            True,
            "Kite is not configured, so no run asks it; set KITE_API_KEY and KITE_API_SECRET to use it",
        )
    try:
        access_token(settings.kite, now)
    except (ConfigurationError, SourceRefused) as error:
        return Check("kite session", False, str(error), "trading-data kite-login")
    return Check("kite session", True, "there is a token of today")


def _loads(warehouse: Warehouse, archived: list[str]) -> Check:
    """Whether raw has every batch of the archive."""
    if not (missing := sorted({*archived} - loaded_paths(warehouse))):
        return Check("loads", True, f"raw has all {len(archived)} batches of the archive")
    lacking = f"raw lacks {counted(len(missing), 'batch')} of the archive, such as {missing[0]}"
    text = f"{lacking}; if replay refuses it, it says why"
    return Check("loads", False, text, "trading-data replay")


def _marts(warehouse: Warehouse, now: datetime) -> list[Check]:
    """Whether there are marts; and if there are, how fresh they are."""
    built_at = last_built_at(warehouse)
    if built_at is None or not warehouse.exists(f"{warehouse.dataset}_operations.operations_alerts"):
        return [Check("marts", False, "nothing has been built yet by this release", "trading-data run")]
    text = f"the last good build was {lasting(now - built_at)} ago"
    is_fresh = now - built_at <= LONGEST_SILENCE
    checks = [Check("marts", True, "they have been built"), Check("last build", is_fresh, text, "trading-data run")]
    waiting = len(unmerged_batches(warehouse))
    if waiting:
        checks.append(
            Check(
                "batches",
                False,
                f"{waiting} {'batch is' if waiting == 1 else 'batches are'} loaded and not built",
                "trading-data build",
            )
        )
    return checks


def lasting(span: timedelta) -> str:
    """A duration in the unit that a person would use: ``1 minute``, ``26 hours``, ``3 days``."""
    minutes = max(round(span / timedelta(minutes=1)), 1)
    if minutes < 90:
        count, unit = minutes, "minute"
    elif minutes < 48 * 60:
        count, unit = round(minutes / 60), "hour"
    else:
        count, unit = round(minutes / 1440), "day"
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _source_requests(warehouse: Warehouse) -> list[SourceRequests]:
    base = f"{warehouse.client.project}.{warehouse.dataset}"
    rows = warehouse.query(
        f"""
        with last_run as (
            select run_id from `{base}_operations.operations_extractions`
            order by started_at desc
            limit 1
        )
        select
            requests.source_id,
            count(*) as request_count,
            countif(requests.outcome != 'ok') as failed_count,
            sum(requests.row_count) as row_count,
            approx_quantiles(requests.elapsed_ms, 2)[offset(1)] as median_ms,
            max(requests.elapsed_ms) as longest_ms
        from `{warehouse.raw}.extract_requests` as requests
        inner join last_run on requests._run_id = last_run.run_id
        where requests._extracted_at >= timestamp_sub(current_timestamp(), interval 90 day)
        group by requests.source_id
        order by requests.source_id
        """
    )
    return [SourceRequests(**dict(row.items())) for row in rows]


def _statements(warehouse: Warehouse, now: datetime) -> list[Statement]:
    jobs = warehouse.recent_queries(now - timedelta(days=1))
    timed = [(job, (job.ended - job.started).total_seconds()) for job in jobs if job.started and job.ended]
    timed.sort(key=lambda pair: pair[1], reverse=True)
    return [
        Statement(
            str(job.job_id),
            str(job.statement_type),
            round(seconds, 2),
            job.total_bytes_billed or 0,
            _text(str(job.query)),
        )
        for job, seconds in timed[:_STATEMENTS]
    ]


def _text(sql: str) -> str:
    # dbt begins a statement with a comment that names its node.
    if node := re.match(r'/\* \{.*?"node_id": "(?:model|test|seed)\.trading_data\.(\w+)', sql):
        return node[1]
    return " ".join(sql.split())[:200]
