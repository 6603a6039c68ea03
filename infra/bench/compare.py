"""Run our code and the peers in turns, on the same bars, each with its own warehouse; a wrong result does not count.

In a round, each tool runs once, so that a busy phase of the machine affects all of them. Ratios are computed within a
round.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from extract.settings import PROJECT_DIR
from infra.bench.bars import Given
from infra.bench.peer import DATASET, PROJECT, TABLE
from infra.local import warehouse as embedded

_SETTINGS = {
    # Turns telemetry off.
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
    # dlt loads its state as JSON, which the embedded warehouse does not accept in compressed form. Bars are Parquet.
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
}
_STEP_SECONDS = 600

type Job = bigquery.LoadJob | bigquery.QueryJob


class NotComparableError(Exception):
    """A tool did not run here, or its result has other bars than its input; the text says which."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool that a user might choose.

    Attributes:
        name: its name in the table.
        environment: its requirements are in ``requirements-<environment>.txt``.
        module: its module in ``infra.bench``.
        does: what is timed.
        variables: environment variables that configure it.
    """

    name: str
    environment: str
    module: str
    does: str
    variables: dict[str, str] = field(default_factory=dict)


MERGING = (
    Peer("dlt, delete-insert", "dlt", "dlt_merge", "Arrow; deduplicates, merges", {"DLT_STRATEGY": "delete-insert"}),
    Peer("dlt, upsert", "dlt", "dlt_merge", "Arrow deduplicates; merges", {"DLT_STRATEGY": "upsert"}),
    Peer("pandas-gbq", "notebook", "pandas_gbq_load", "pandas deduplicates, load; MERGE for the delta"),
    Peer("SQLMesh", "sqlmesh", "sqlmesh_model", "load, incremental model by key, audit of the key"),
)
LOOP = Peer("yfinance loop", "notebook", "yfinance_loop", "download and to_gbq, one by one", {"YFINANCE_THREADS": "0"})
THREADS = Peer("yfinance threads", "notebook", "yfinance_loop", "eight at once, one to_gbq", {"YFINANCE_THREADS": "8"})


@dataclass(frozen=True, slots=True)
class Taken:
    """The duration of one step, in seconds.

    Attributes:
        work: from the first action to the last, without the start of the process.
        warehouse: during which the warehouse worked on load jobs and statements.
        command: from the start of the process to its end.
    """

    work: float
    warehouse: float
    command: float


@dataclass(slots=True)
class Line:
    """One line of the comparison.

    Attributes:
        who: ours, or a peer.
        what: the part of the work.
        does: what was timed.
        seconds: by round.
        ratios: the seconds divided by ours, by round.
    """

    who: str
    what: str
    does: str
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


class Comparison:
    """The lines of a comparison, and the tools that were left out."""

    def __init__(self) -> None:
        """Begin without lines."""
        self._lines: dict[tuple[str, str], Line] = {}
        self.skipped: dict[str, str] = {}

    def note(self, who: str, what: str, does: str, seconds: float) -> None:
        """Record a result of this round; ours must be the first of a round."""
        line = self._lines.setdefault((who, what), Line(who, what, does))
        line.seconds.append(seconds)
        # A full run takes long and may be stopped, so print each result at once.
        sys.stderr.write(f"  {who}, {what}: {seconds:.2f} s\n")
        line.ratios.append(seconds / self._lines["ours", what].seconds[-1])

    def note_taken(self, who: str, step: str, does: str, taken: Taken) -> None:
        """Record all three durations of a step."""
        self.note(who, f"{step}: the work itself", does, taken.work)
        self.note(who, f"{step}: of it in the warehouse", does, taken.warehouse)
        self.note(who, f"{step}: the whole command", does, taken.command)

    def lines(self) -> list[Line]:
        """All lines, grouped by part of the work."""
        parts = list(dict.fromkeys(what for _, what in self._lines))
        return sorted(self._lines.values(), key=lambda line: parts.index(line.what))


def environment_of(folder: Path, name: str) -> Path:
    """The Python of a peer's environment, which is created if it is missing or its requirements have changed.

    Raises:
        NotComparableError: it cannot be installed here.
    """
    requirements = Path(__file__).parent / f"requirements-{name}.txt"
    place = folder / "environments" / name
    python, installed = place / "bin" / "python", place / "requirements.txt"
    if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
        uv = str(PROJECT_DIR / ".uv" / "bin" / "uv")
        install = ("pip", "install", "--no-config", "--quiet", "--compile-bytecode", "--require-hashes")
        for command in (
            (uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)),
            (uv, *install, "--python", str(python), "-r", str(requirements)),
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotComparableError(f"not installed: {_last_line(done.stderr)}")
        shutil.copy(requirements, installed)
    return python


def run_peer(peer: Peer, step: str, path: Path, folder: Path, address: str, **variables: str) -> tuple[float, float]:
    """Run one step of a peer; return the seconds of the step, and of the whole command.

    Raises:
        NotComparableError: it cannot be installed, failed, or took longer than ``_STEP_SECONDS``.
    """
    python = environment_of(folder, peer.environment)
    place = folder / "peer"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "PYTHONPATH": str(PROJECT_DIR),
        "BIGQUERY_EMULATOR_HOST": address,
        "DLT_DATA_DIR": str(place / "dlt"),
    }
    began = time.monotonic()
    try:
        done = subprocess.run(
            [str(python), "-m", "infra.bench.peer", peer.module, step, str(path)],
            env=environment | _SETTINGS | peer.variables | variables,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=_STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotComparableError(f"{step} took longer than {_STEP_SECONDS} s") from None
    whole = time.monotonic() - began
    if done.returncode:
        raise NotComparableError(f"{step} failed: {_last_line(done.stderr)}")
    seconds: float = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return seconds, whole


def peer_round(comparison: Comparison, peer: Peer, given: Given, folder: Path) -> None:
    """Load the bars and merge the delta with a peer, in an empty warehouse, and check the result."""
    place = folder / "peer"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with embedded.running(place / "warehouse") as address:
        client = connected(address)
        results = {}
        for step, path in (("load", given.bars), ("delta", given.delta)):
            began = datetime.now(UTC)
            work, command = run_peer(peer, step, path, folder, address)
            at_work = covered((job.started, job.ended) for job in jobs_since(client, began))
            results[step] = Taken(work, at_work, command)
        closes = f"select symbol, close from {TABLE} where source_id = 'kite' and trade_date = '{given.restated_on}'"
        check(
            next(iter(client.query_and_wait(f"select count(*) as bars from {TABLE}")))["bars"],
            {row["symbol"]: float(row["close"]) for row in client.query_and_wait(closes)},
            given.distinct[0],
            given.restated,
        )
    for step, taken in results.items():
        comparison.note_taken(peer.name, step, peer.does, taken)


def jobs_since(client: bigquery.Client, moment: datetime) -> list[Job]:
    """The load jobs and statements of the warehouse since a moment, all of which have ended."""
    # The warehouse records times in milliseconds.
    since = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return [
        job
        for job in client.list_jobs(min_creation_time=since)
        if isinstance(job, bigquery.LoadJob | bigquery.QueryJob)
    ]


def covered(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """The seconds in which at least one of these spans is under way."""
    seconds = 0.0
    reached = datetime.min.replace(tzinfo=UTC)
    for began, ended in sorted(spans):
        seconds += max(0.0, (ended - max(began, reached)).total_seconds())
        reached = max(reached, ended)
    return seconds


def check(bars: int, closes: dict[str, float], expected_bars: int, restated: dict[str, float]) -> None:
    """Check that a result has each bar once, and for each restated bar the new close.

    Raises:
        NotComparableError: it does not; the text says what is wrong.
    """
    if bars != expected_bars:
        raise NotComparableError(f"left {bars:,} bars instead of {expected_bars:,}")
    stale = [symbol for symbol, close in restated.items() if abs(closes.get(symbol, 0.0) - close) > 0.001]
    if stale:
        raise NotComparableError(f"left {len(stale)} of {len(restated)} restated closes as they were: {stale[:3]}")


def connected(address: str) -> bigquery.Client:
    """A client of the embedded warehouse at an address, with the peers' dataset in it."""
    client = bigquery.Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": address})  # type: ignore[no-untyped-call]
    client.create_dataset(DATASET, exists_ok=True)
    return client


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it said nothing"
