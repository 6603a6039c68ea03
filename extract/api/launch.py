"""Start a run for a caller of the API, as a process on this machine or an execution of the Cloud Run job; follow it."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal, Protocol

import httpx

from extract.api.orders import NOT_STARTED, Order, Orders
from extract.api.problems import Refusal
from extract.errors import INCOMPLETE, INTERRUPTED, OK, USAGE, PipelineError, SourceUnavailable
from extract.google_token import default_token
from extract.seeds import Clock
from extract.settings import PROJECT_DIR, Settings

type State = Literal["running", "succeeded", "incomplete", "failed", "refused", "interrupted", "killed", "unknown"]

_TIMEOUT = httpx.Timeout(20.0, connect=10.0)

# Cloud Run keeps the last thousand executions of a job.
_PAGES = 10


def state_of(exit_status: int) -> State:
    """The state that an exit status stands for; below zero, a signal ended the run."""
    if exit_status < 0:
        return "killed"
    told: dict[int, State] = {OK: "succeeded", INCOMPLETE: "incomplete", USAGE: "refused", INTERRUPTED: "interrupted"}
    return told.get(exit_status, "failed")


class Launcher(Protocol):
    """Starts runs and tells their state."""

    def start(self, order: Order) -> None:
        """Start a run, and do not wait for it.

        Raises:
            StartUnknown: it may have begun.
            PipelineError: it could not be started.
        """

    def running(self) -> dict[date, str]:
        """The ids of the runs that were started here and are under way, by the session that they are for.

        Raises:
            PipelineError: this cannot be determined now.
        """

    def state(self, run_id: str) -> State | None:
        """The state of a run that was started here; None if the run is not known.

        Raises:
            PipelineError: this cannot be determined now.
        """


def start(launcher: Launcher, order: Order) -> None:
    """Start a run for a caller of the API, and do not wait for it.

    Raises:
        Refusal: it may have begun; the answer says where this will be known.
        PipelineError: it could not be started.
    """
    try:
        launcher.start(order)
    except StartUnknown as error:
        at = f"/runs/{order.run_id}"
        text = f"{error}. GET {at} tells; if it does not run a minute from now, start another."
        raise Refusal(503, "start-unknown", text, {"Location": at}, instance=at, run_id=order.run_id) from error


class LocalProcesses:
    """Runs as other processes on this machine, which outlive this one."""

    def __init__(self, settings: Settings) -> None:
        """Start nothing yet."""
        self._settings = settings
        self._started: dict[str, tuple[Order, subprocess.Popen[bytes]]] = {}

    def start(self, order: Order) -> None:
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
                [sys.executable, "-m", "extract", *order.arguments],
                cwd=PROJECT_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # So that Ctrl-C ends the server, and not the run.
                start_new_session=True,
            )
        except OSError as error:
            raise PipelineError(f"a run could not be started: {error.strerror}") from error
        self._started[order.run_id] = (order, process)

    def running(self) -> dict[date, str]:
        """See ``Launcher``."""
        return {o.trade_date: o.run_id for o, process in list(self._started.values()) if process.poll() is None}

    def state(self, run_id: str) -> State | None:
        """See ``Launcher``."""
        if run_id in self._started:
            status = self._started[run_id][1].poll()
            return "running" if status is None else state_of(status)
        return None


class StartUnknown(PipelineError):
    """Nobody has said whether a run has begun: it may have, or not."""


class CloudRunRefused(PipelineError):
    """Cloud Run has not done what was asked, for certain: it said so, or was never reached."""


class _Purged(CloudRunRefused):
    """Cloud Run knows nothing of this name any more."""


class CloudRunJob:
    """Runs as executions of the triggered Cloud Run job, which takes its order from where this server writes it.

    The API is described at cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs.
    """

    def __init__(
        self, job: str, orders: Orders, clock: Clock, url: str, token: Callable[[], str] | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            job: ``projects/<project>/locations/<region>/jobs/<job>``.
            orders: where the job reads its orders.
            clock: the time, with zone.
            url: the address of the Cloud Run API.
            token: returns an access token; by default, of the application-default credentials.
        """
        self._job = job
        self._orders = orders
        self._clock = clock
        self._url = url
        self._token = token or default_token()

    def start(self, order: Order) -> None:
        """See ``Launcher``."""
        self._orders.add(order)
        try:
            self._send("POST", f"{self._job}:run", {})
        except CloudRunRefused:
            # No execution has begun. Without this, the one of an earlier order could take this one.
            self._orders.give_up(order)
            raise
        except PipelineError as error:
            # The order stays: if an execution has begun, it takes this order.
            raise StartUnknown(f"{error}, so the run may have begun") from error

    def running(self) -> dict[date, str]:
        """See ``Launcher``."""
        return {order.trade_date: order.run_id for order in self._at_work()}

    def state(self, run_id: str) -> State | None:
        """See ``Launcher``."""
        name = self._orders.taken_by(run_id)
        if name is None:
            if run_id not in [order.run_id for order in self._orders.waiting(self._clock())]:
                return None
            return "running" if run_id in [order.run_id for order in self._at_work()] else "unknown"
        if name == NOT_STARTED:
            return None
        try:
            execution = self._send("GET", f"{self._job}/executions/{name}")
        except _Purged:
            return "unknown"
        if "completionTime" not in execution:
            return "running"
        return "succeeded" if execution.get("succeededCount") else "failed"

    def _at_work(self) -> list[Order]:
        """The orders of the executions that have not ended."""
        now = self._clock()
        taken = [self._orders.of(name, now) for name in self._under_way()]
        # An execution takes its order when its container has started.
        starting = self._orders.waiting(now)[: taken.count(None)]
        return [*starting, *(order for order in taken if order is not None)]

    def _under_way(self) -> Iterator[str]:
        """The names of the executions that have not ended."""
        page: dict[str, Any] = {}
        for _ in range(_PAGES):
            more = {"pageToken": page["nextPageToken"]} if page else {}
            page = self._send("GET", f"{self._job}/executions", pageSize="100", **more)
            # Cloud Run leaves the field out if the list is empty.
            for execution in page.get("executions", []):
                if "completionTime" not in execution:
                    yield execution["name"].rpartition("/")[2]
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
            told = f"Cloud Run answered {error.response.status_code} to {method} {name}"
            # It may fail after it has begun what was asked.
            if error.response.is_server_error:
                raise PipelineError(told) from error
            raise (_Purged if error.response.status_code == HTTPStatus.NOT_FOUND else CloudRunRefused)(told) from error
        except SourceUnavailable as error:
            raise CloudRunRefused(str(error)) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise CloudRunRefused(f"Cloud Run cannot be reached for {method} {name}: {type(error).__name__}") from error
        except (httpx.HTTPError, ValueError) as error:
            raise PipelineError(f"Cloud Run gave no answer to {method} {name}: {type(error).__name__}") from error
        return answer


class Rate:
    """Limits how many runs this process starts within an hour."""

    def __init__(self, per_hour: int, clock: Clock) -> None:
        """Begin with no run started."""
        self._per_hour = per_hour
        self._clock = clock
        self._taken: deque[datetime] = deque()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Count one start, and return 0; if the limit was reached before, count none, and return how long to wait."""
        now = self._clock()
        with self._lock:
            while self._taken and now - self._taken[0] >= timedelta(hours=1):
                self._taken.popleft()
            if len(self._taken) < self._per_hour:
                self._taken.append(now)
                return 0.0
            return (self._taken[0] + timedelta(hours=1) - now).total_seconds()
