"""Start a run for a caller of the API, as a process on this machine or an execution of the Cloud Run job; follow it."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, Protocol

import httpx

from extract.errors import INCOMPLETE, INTERRUPTED, OK, USAGE, PipelineError, SourceUnavailable
from extract.google_token import default_token
from extract.landing.announced import read_announcements
from extract.landing.archive import Archive
from extract.landing.lease import holder
from extract.run_id import new_run_id
from extract.seeds import Announcements, Clock, last_closed_session
from extract.settings import PROJECT_DIR, Settings

type State = Literal["running", "succeeded", "incomplete", "failed", "refused", "interrupted", "killed"]

_TIMEOUT = httpx.Timeout(20.0, connect=10.0)

# Cloud Run keeps the last thousand executions of a job.
_PAGES = 10


@dataclass(frozen=True, slots=True)
class Order:
    """A run to start.

    Attributes:
        run_id: identifies the run.
        trade_date: the session that it is for.
        arguments: the command line of ``trading-data``.
    """

    run_id: str
    trade_date: date
    arguments: tuple[str, ...]


def state_of(exit_status: int) -> State:
    """The state that an exit status stands for; below zero, a signal ended the run."""
    if exit_status < 0:
        return "killed"
    told: dict[int, State] = {OK: "succeeded", INCOMPLETE: "incomplete", USAGE: "refused", INTERRUPTED: "interrupted"}
    return told.get(exit_status, "failed")


def order(
    now: datetime,
    source: str | None,
    symbols: Sequence[str] | None,
    trade_date: date | None,
    announced: Announcements | None = None,
) -> Order:
    """The run for a trigger: the scheduled job; if the trigger names a source or another day, a backfill of one day.

    Args:
        now: a time with zone.
        source: the only source to ask; None for all.
        symbols: the only symbols to ask for; None for all.
        trade_date: the session; None for the last one that has closed.
        announced: the sessions that were announced in addition to the seeds.
    """
    due = last_closed_session(now, announced or Announcements())
    if source is None and trade_date in (None, due):
        command, about = "run", []
    else:
        day = (trade_date or due).isoformat()
        command, about = "backfill", ["--again", "--from", day, "--to", day]
        about += ["--source", source] if source else []
    about += ["--symbols", ",".join(symbols)] if symbols else []
    run_id = new_run_id(command, now)
    return Order(run_id, trade_date or due, (command, "--run-id", run_id, *about))


class Launcher(Protocol):
    """Where runs are started."""

    def start(self, ordered: Order) -> None:
        """Start a run, and do not wait for it.

        Raises:
            PipelineError: it could not be started.
        """

    def running(self) -> dict[date, str]:
        """The ids of the runs that are under way, by the session that they are for.

        Raises:
            PipelineError: this cannot be determined now.
        """

    def state(self, run_id: str) -> State | None:
        """The state of a run that was started here; None if the run is not known.

        Raises:
            PipelineError: this cannot be determined now.
        """


class LocalProcesses:
    """Runs as other processes on this machine, which outlive this one."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Start nothing yet. The lease says which other command is under way."""
        self._settings = settings
        self._clock = clock
        self._started: dict[str, tuple[Order, subprocess.Popen[bytes]]] = {}

    def start(self, ordered: Order) -> None:
        """See ``Launcher``."""
        environment = {name: value for name, value in os.environ.items() if name != "API_TOKEN"}
        # Absolute paths, as this server resolved them: the run starts in another folder, and writes to the same places.
        environment |= {
            "WAREHOUSE_DIR": str(self._settings.warehouse_dir),
            "ARCHIVE_URI": self._settings.archive_uri,
            "LEASE_URI": self._settings.lease_uri,
            "KITE_TOKEN_STORE": self._settings.kite.token_store,
        }
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "extract", *ordered.arguments],
                cwd=PROJECT_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # So that Ctrl-C ends the server, and not the run.
                start_new_session=True,
            )
        except OSError as error:
            raise PipelineError(f"a run could not be started: {error.strerror}") from error
        self._started[ordered.run_id] = (ordered, process)

    def running(self) -> dict[date, str]:
        """See ``Launcher``; includes a run that a person started."""
        record = holder(Archive(self._settings.lease_uri), self._clock())
        typed = {}
        if record is not None and record.command.startswith("run"):
            announced = read_announcements(Archive(self._settings.archive_uri))
            typed = {last_closed_session(self._clock(), announced): record.run_id}
        alive = {o.trade_date: o.run_id for o, process in list(self._started.values()) if process.poll() is None}
        return typed | alive

    def state(self, run_id: str) -> State | None:
        """See ``Launcher``."""
        if run_id in self._started:
            status = self._started[run_id][1].poll()
            return "running" if status is None else state_of(status)
        return None


class CloudRunJob:
    """Runs as executions of the Cloud Run job; Cloud Run keeps their list.

    The API is described at cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs.
    """

    def __init__(
        self,
        job: str,
        clock: Clock,
        url: str,
        token: Callable[[], str] | None = None,
        announced: Callable[[], Announcements] = Announcements,
    ) -> None:
        """Start nothing yet.

        Args:
            job: ``projects/<project>/locations/<region>/jobs/<job>``.
            clock: the time, with zone.
            url: the address of the Cloud Run API.
            token: returns an access token; by default, of the application-default credentials.
            announced: returns the sessions that were announced in addition to the seeds.
        """
        self._announced = announced
        self._job = job
        self._clock = clock
        self._url = url
        self._token = token or default_token()

    def start(self, ordered: Order) -> None:
        """See ``Launcher``."""
        overrides = {"containerOverrides": [{"args": list(ordered.arguments)}]}
        self._send("POST", f"{self._job}:run", {"overrides": overrides})

    def running(self) -> dict[date, str]:
        """See ``Launcher``; includes runs that Cloud Scheduler started, under the name of their execution."""
        running = {}
        for execution in self._executions():
            if "completionTime" not in execution:
                arguments = _arguments(execution)
                day = _after("--from", arguments)
                trade_date = date.fromisoformat(day) if day else last_closed_session(self._clock(), self._announced())
                running[trade_date] = _after("--run-id", arguments) or execution["name"].rpartition("/")[2]
        return running

    def state(self, run_id: str) -> State | None:
        """See ``Launcher``."""
        for execution in self._executions():
            if run_id in (_after("--run-id", _arguments(execution)), execution["name"].rpartition("/")[2]):
                if "completionTime" not in execution:
                    return "running"
                return "succeeded" if execution.get("succeededCount") else "failed"
        return None

    def _executions(self) -> Iterator[dict[str, Any]]:
        page: dict[str, Any] = {}
        for _ in range(_PAGES):
            more = {"pageToken": page["nextPageToken"]} if page else {}
            page = self._send("GET", f"{self._job}/executions", pageSize="100", **more)
            # Cloud Run leaves the field out if the list is empty.
            yield from page.get("executions", [])
            if "nextPageToken" not in page:
                return

    def _send(self, method: str, name: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
        # Not retried: the answer may be lost after the execution has begun. The caller can look at the running ones.
        try:
            response = httpx.request(
                method,
                f"{self._url}/v2/{name}",
                params=query,
                json=body,
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=_TIMEOUT,
            )
            response.raise_for_status()
            answer: dict[str, Any] = response.json()
        except httpx.HTTPStatusError as error:
            raise PipelineError(f"Cloud Run answered {error.response.status_code} to {method} {name}") from error
        except SourceUnavailable as error:
            raise PipelineError(str(error)) from error
        except (httpx.HTTPError, ValueError) as error:
            raise PipelineError(f"Cloud Run gave no answer to {method} {name}: {type(error).__name__}") from error
        return answer


def _arguments(execution: dict[str, Any]) -> list[str]:
    arguments: list[str] = execution["template"]["containers"][0].get("args", [])
    return arguments


def _after(option: str, arguments: Sequence[str]) -> str | None:
    return arguments[arguments.index(option) + 1] if option in arguments[:-1] else None


class Rate:
    """Limits how many runs this process starts within an hour."""

    def __init__(self, per_hour: int, clock: Clock) -> None:
        """Begin with no run started."""
        self._per_hour = per_hour
        self._clock = clock
        self._taken: deque[datetime] = deque()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Count one start, and return 0; if the limit is reached, return the seconds until a start is allowed again."""
        now = self._clock()
        with self._lock:
            while self._taken and now - self._taken[0] >= timedelta(hours=1):
                self._taken.popleft()
            if len(self._taken) < self._per_hour:
                self._taken.append(now)
                return 0.0
            return (self._taken[0] + timedelta(hours=1) - now).total_seconds()
