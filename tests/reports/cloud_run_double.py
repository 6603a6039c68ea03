"""A server that answers as Cloud Run's Admin API v2 does about the executions of jobs, strictly.

Forms are those of cloud.google.com/run/docs/reference/rest/v2; what those do not allow is refused.
"""

import copy
import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from infra.doubles import loopback
from infra.doubles.loopback import Loopback

type Json = dict[str, Any]

_JOBS = "projects/market/locations/asia-south1/jobs"
JOB = f"{_JOBS}/trading-data-triggered"
CANDIDATE = f"{_JOBS}/trading-data-candidate"
TOKEN = "token-of-the-test"  # noqa: S105 It opens nothing.


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What goes wrong with one request.

    Attributes:
        kind: ``reset`` drops the connection before the request is taken in; a number is the status of the answer.
        is_done: whether what was asked for is done all the same.
    """

    method: str
    path: str
    kind: int | str
    times: int = 1
    is_done: bool = False


@dataclass
class CloudRun:
    """All state; a lock keeps requests apart.

    Attributes:
        polls: so many looks at an execution until it ends.
        page_size: executions on a page of their list.
        faults: what goes wrong.
        is_failing: whether executions end badly.
        requests: what was asked.
        runs: the executions, in order.
    """

    polls: int = 2
    page_size: int = 1
    faults: list[Fault] = field(default_factory=list)
    is_failing: bool = False
    requests: list[tuple[str, str]] = field(default_factory=list)
    runs: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing on its way."""
        self.lock = threading.RLock()
        self._ids = itertools.count(1)
        self._left: dict[str, int] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: Json | None, token: str | None) -> Json:
        """One request of the interface."""
        if token != f"Bearer {TOKEN}":
            raise _Refusal(401, "Request had invalid authentication credentials.")
        name = path.removeprefix("/v2/")
        if method == "POST" and name in (f"{JOB}:run", f"{CANDIDATE}:run"):
            return self.run(name.removesuffix(":run"), body or {})
        job, _, execution = name.partition("/executions/")
        if method == "GET" and job in (JOB, CANDIDATE) and execution and not query:
            for run in self.runs:
                if run["name"] == name:
                    return self._advance(run)
            raise _Refusal(404, f"Resource {name} was not found.")
        job = name.removesuffix("/executions")
        if method == "GET" and job in (JOB, CANDIDATE) and not query.keys() - {"pageSize", "pageToken"}:
            there = [run for run in self.runs if run["name"].startswith(f"{job}/")]
            start = int(query.get("pageToken", "0"))
            page = [self._advance(run) for run in there[start : start + self.page_size]]
            more = {"nextPageToken": str(start + self.page_size)} if there[start + self.page_size :] else {}
            # Nobody is told that there are none: the field is left out.
            return ({"executions": page} if page else {}) | more
        raise _Refusal(404, f"no {method} {path}")

    def run(self, name: str, body: Json) -> Json:
        """Start an execution of a job, as an account may that has the role run.invoker on it."""
        if body.keys() - {"overrides", "etag", "validateOnly"}:
            raise _Refusal(400, f"Invalid JSON payload received. Unknown name {sorted(body)}")
        if "overrides" in body:
            raise _Refusal(403, "Permission 'run.jobs.runWithOverrides' denied on resource.")
        container: Json = {"image": "", "args": ["ordered"]}
        execution: Json = {
            "name": f"{name}/executions/{name.rpartition('/')[2]}-{next(self._ids)}",
            "template": {"containers": [container]},
            "taskCount": 1,
            "runningCount": 1,
        }
        self._left[execution["name"]] = self.polls
        self.runs.append(execution)
        return {"name": f"{_JOBS.removesuffix('jobs')}operations/{next(self._ids)}", "metadata": execution}

    def _advance(self, execution: Json) -> Json:
        self._left[execution["name"]] -= 1
        if self._left[execution["name"]] < 0 and "completionTime" not in execution:
            ended = "failedCount" if self.is_failing else "succeededCount"
            execution |= {"completionTime": "2026-11-24T13:30:00Z", "runningCount": 0, ended: 1}
        return copy.deepcopy(execution)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two packets: held back, each answer takes 40 ms.
    disable_nagle_algorithm = True
    double: CloudRun

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 Its name is the base class's.
        pass

    def _serve(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with self.double.lock:
            self.double.requests.append((self.command, address.path))
            for fault in self.double.faults:
                if fault.method == self.command and re.search(fault.path, address.path) and fault.times > 0:
                    fault.times -= 1
                    if fault.is_done:
                        self._answer(address, body)
                    if isinstance(fault.kind, int):
                        self._say(fault.kind, {"error": {"code": fault.kind, "message": "injected"}})
                    else:
                        self.close_connection = True
                        self.connection.close()
                    return
            try:
                self._say(200, self._answer(address, body))
            except _Refusal as refusal:
                self._say(refusal.status, {"error": {"code": refusal.status, "message": str(refusal)}})

    def _answer(self, address: SplitResult, body: Json | None) -> Json:
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        return self.double.answer(self.command, address.path, query, body, self.headers.get("Authorization"))

    do_GET = do_POST = _serve  # noqa: N815 The base class asks for these names.

    def _say(self, status: int, document: Json) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(double: CloudRun) -> Iterator[str]:
    """Serve on a free port; yields the address."""
    with loopback.serving(Loopback(type("Handler", (_Handler,), {"double": double}))) as server:
        yield server.address
