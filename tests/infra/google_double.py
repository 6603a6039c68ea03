"""A server that answers as Cloud Run's Admin API v2, BigQuery, IAM Credentials and the delivered service do, strictly.

Forms are those of cloud.google.com/run/docs/reference/rest/v2 and cloud.google.com/bigquery/docs/reference/rest. What
those do not allow, it refuses: unknown parameters and fields, a stale etag, traffic that does not add up.
"""

import copy
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infra.local import loopback
from infra.local.loopback import Loopback

type Json = dict[str, Any]

PARENT = "projects/market/locations/asia-south1"
SERVICE = f"{PARENT}/services/trading-data-api"
JOB = f"{PARENT}/jobs/trading-data"
CANDIDATE = f"{PARENT}/jobs/trading-data-candidate"
TOKEN = "token-of-the-test"  # noqa: S105 It opens nothing.
IDENTITY = "identity-of-the-test"

SERVICE_FIELDS = {"etag", "traffic", "template", "annotations"}
JOB_FIELDS = {"name", "uid", "etag", "generation", "annotations", "template", "reconciling", "latestCreatedExecution"}
LATEST, BY_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """What goes wrong with some requests.

    ``reset`` drops the connection before the request is taken in, ``reset_after`` after it; so do ``kill`` and
    ``kill_after``, which call ``struck`` first; a number is a status.
    """

    method: str
    path: str
    kind: int | str
    times: int = 1
    after: int = 0
    retry_after: str | None = None
    struck: Callable[[], None] = lambda: None


@dataclass
class Google:
    """All state; a lock keeps requests apart."""

    polls: int = 2
    page_size: int = 1
    faults: list[Fault] = field(default_factory=list)
    # Of a revision and its share of the traffic: the status of a health check.
    health: Callable[[str, int], int] = lambda _, __: 200
    wants_identity: bool = False
    broken_images: set[str] = field(default_factory=set)
    failing_images: set[str] = field(default_factory=set)
    marts: dict[str, tuple[int, int]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    runs: list[Json] = field(default_factory=list)
    base: str = ""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._ids = itertools.count(1)
        self.pending: dict[str, tuple[int, Callable[[], Json | None], Json]] = {}
        self.revisions: dict[str, Json] = {}
        self.executions: dict[str, Json] = {}
        self._execution_polls: dict[str, int] = {}
        self.finished: dict[str, Json] = {}
        self.queries: dict[str, list[Json]] = {}
        self.by_request: dict[str, Json] = {}
        self.shares_seen: list[dict[str, int]] = []
        self.service: Json = {
            "name": SERVICE,
            "generation": "1",
            "etag": '"1"',
            "annotations": {"owner": "data"},
            "template": {"containers": [{"image": "", "env": [{"name": "LEVEL", "value": "info"}]}], "timeout": "30s"},
            "traffic": [{"type": LATEST, "percent": 100}],
        }
        self.jobs = {name: self._job(name) for name in (JOB, CANDIDATE)}

    def _job(self, name: str) -> Json:
        container = {"image": "", "args": ["run"], "env": [{"name": "LEVEL", "value": "info"}]}
        template = {"taskCount": 1, "template": {"containers": [container], "maxRetries": 2}}
        return {"name": name, "generation": "1", "etag": '"1"', "annotations": {"owner": "data"}, "template": template}

    def start_with(self, image: str) -> None:
        """Have this image everywhere, as Terraform leaves it."""
        for job in self.jobs.values():
            job["template"]["template"]["containers"][0]["image"] = image
        self.service["template"]["containers"][0]["image"] = image
        name = "trading-data-api-00001-abc"
        self.revisions[name] = copy.deepcopy(self.service["template"]) | {"ready": True}
        self.service |= {
            "latestCreatedRevision": f"{SERVICE}/revisions/{name}",
            "latestReadyRevision": f"{SERVICE}/revisions/{name}",
        }
        self._route()

    def shares(self) -> dict[str, int]:
        """The share of each image that has traffic."""
        shares: dict[str, int] = {}
        for status in self.service["trafficStatuses"]:
            image = self.revisions[status["revision"]]["containers"][0]["image"]
            if "percent" in status:
                shares[image] = shares.get(image, 0) + status["percent"]
        return shares

    def tags(self) -> dict[str, str]:
        """The image behind each tag."""
        return {
            status["tag"]: self.revisions[status["revision"]]["containers"][0]["image"]
            for status in self.service["trafficStatuses"]
            if "tag" in status
        }

    def image_of(self, job: str) -> str:
        """The image of a job."""
        image: str = self.jobs[job]["template"]["template"]["containers"][0]["image"]
        return image

    def answer(self, method: str, path: str, query: dict[str, str], body: Json | None, headers: Any) -> Json:
        """One request of the interfaces."""
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(401, "Request had invalid authentication credentials.")
        if path.startswith("/bigquery/v2/projects/market/queries"):
            return self._query(method, path, query, body)
        if path == "/v1/projects/-/serviceAccounts/prober@market.iam.gserviceaccount.com:generateIdToken":
            if body != {"audience": self.service["uri"], "includeEmail": True}:
                raise Refusal(400, "Request contains an invalid argument.")
            return {"token": IDENTITY}
        name = path.removeprefix("/v2/")
        if method == "GET" and "/operations/" in name:
            return self._operation(name)
        if name == SERVICE and method == "PATCH":
            return self._patch_service(query, body or {})
        if name in self.jobs and method == "PATCH":
            return self._patch_job(name, query, body or {})
        if name.removesuffix(":run") in self.jobs and name.endswith(":run") and method == "POST":
            return self.run(name.removesuffix(":run"), body or {})
        if method == "GET":
            return self._get(name, query)
        raise Refusal(404, f"no {method} {path}")

    def _get(self, name: str, query: dict[str, str]) -> Json:
        if name == SERVICE:
            return self._reconciled(self.service)
        if name in self.jobs:
            return self._reconciled(self.jobs[name])
        if name.startswith(f"{SERVICE}/revisions/") and name.rpartition("/")[2] in self.revisions:
            return self.revisions[name.rpartition("/")[2]]
        if name in self.executions:
            return self._advance(name)
        if name.removesuffix("/executions") in self.jobs and not query.keys() - {"pageSize", "pageToken"}:
            names = [e for e in self.executions if e.startswith(name.removesuffix("/executions") + "/")]
            start = int(query.get("pageToken", "0"))
            page = [self._advance(e) for e in names[start : start + self.page_size]]
            more = {"nextPageToken": str(start + self.page_size)} if names[start + self.page_size :] else {}
            # Nobody is told that there are none: the field is left out, as a share of 0 % is.
            return ({"executions": page} if page else {}) | more
        raise Refusal(404, f"Resource '{name}' was not found")

    def _reconciled(self, resource: Json) -> Json:
        # Time passes for an operation whether or not anybody polls it.
        for name in [n for n, (_, _, about) in self.pending.items() if about is resource]:
            self._operation(name)
        busy = any(about is resource for _, _, about in self.pending.values())
        return copy.deepcopy(resource) | ({"reconciling": True} if busy else {})

    def _begin(self, resource: Json, finish: Callable[[], Json | None]) -> Json:
        name = f"{PARENT}/operations/{next(self._ids)}"
        self.pending[name] = (self.polls, finish, resource)
        resource["generation"] = str(int(resource["generation"]) + 1)
        resource["etag"] = f'"{resource["generation"]}"'
        return {"name": name, "metadata": {"name": resource["name"]}}

    def _operation(self, name: str) -> Json:
        if name in self.finished:
            return self.finished[name]
        if name not in self.pending:
            raise Refusal(404, f"Resource '{name}' was not found")
        left, finish, resource = self.pending[name]
        if left > 0:
            self.pending[name] = (left - 1, finish, resource)
            return {"name": name}
        del self.pending[name]
        error = finish()
        done = {"name": name, "done": True, **({"error": error} if error else {"response": copy.deepcopy(resource)})}
        self.finished[name] = done
        return done

    @staticmethod
    def _guard(resource: Json, body: Json, allowed: set[str]) -> None:
        if unknown := body.keys() - allowed:
            raise Refusal(400, f"Invalid JSON payload received. Unknown name {sorted(unknown)}")
        if body.get("etag") != resource["etag"]:
            raise Refusal(409, f"Conflict for resource '{resource['name']}': version {body.get('etag')} is not current")

    def _patch_service(self, query: dict[str, str], body: Json) -> Json:
        mask = set(query.get("updateMask", "").split(",")) - {""}
        if query.keys() - {"updateMask"} or mask - SERVICE_FIELDS:
            raise Refusal(400, f"invalid field mask or parameter: {query}")
        # The whole resource is known to the interface, but only what the mask names is taken.
        self._guard(self.service, body, SERVICE_FIELDS)
        given: Json = {key: body[key] for key in (mask or body.keys()) if key != "etag"}
        created = None
        if "template" in given:
            created = given["template"].get("revision", "")
            if not re.fullmatch(r"trading-data-api-[a-z0-9-]{1,46}", created):
                raise Refusal(400, f"template.revision {created!r} must begin with the service's name")
            if created in self.revisions:
                raise Refusal(409, f"Revision named '{created}' with different configuration already exists.")
        self._check_traffic((self.service | given)["traffic"], created)
        self.service |= copy.deepcopy(given)
        self.service["traffic"] = [_without_zero(target) for target in self.service["traffic"]]
        if created:
            image = given["template"]["containers"][0]["image"]
            self.revisions[created] = copy.deepcopy(given["template"]) | {"ready": False}
            self.service["latestCreatedRevision"] = f"{SERVICE}/revisions/{created}"
            return self._begin(self.service, lambda: self._create(created, image))
        return self._begin(self.service, self._route)

    def _check_traffic(self, traffic: list[Json], created: str | None) -> None:
        if sum(target.get("percent", 0) for target in traffic) != 100:
            raise Refusal(400, "Traffic percentages must sum to 100.")
        tags = [target["tag"] for target in traffic if "tag" in target]
        if len(set(tags)) != len(tags) or not all(re.fullmatch(r"[a-z][a-z0-9-]{2,45}", tag) for tag in tags):
            raise Refusal(400, f"tags must be unique and well formed: {tags}")
        for target in traffic:
            if target["type"] == BY_REVISION and target["revision"] not in {*self.revisions, created}:
                raise Refusal(400, f"Revision {target['revision']} was not found.")

    def _create(self, revision: str, image: str) -> Json | None:
        if image not in self.broken_images:
            self.revisions[revision]["ready"] = True
            self.service["latestReadyRevision"] = f"{SERVICE}/revisions/{revision}"
        return self._route()

    def _route(self) -> Json | None:
        newest = self.service["latestReadyRevision"].rpartition("/")[2]
        statuses = []
        for target in self.service["traffic"]:
            revision = target.get("revision", newest)
            if not self.revisions[revision]["ready"]:
                break
            uri = {"uri": f"{self.base}/tags/{target['tag']}"} if "tag" in target else {}
            statuses.append(_without_zero(target) | {"revision": revision} | uri)
        else:
            self.service["trafficStatuses"] = statuses
            self.service["uri"] = f"{self.base}/tags/all"
            self.shares_seen.append(self.shares())
        created = self.service["latestCreatedRevision"].rpartition("/")[2]
        if not self.revisions[created]["ready"]:
            return {"code": 9, "message": f"Revision '{created}' is not ready and cannot serve traffic."}
        return None

    def _patch_job(self, name: str, query: dict[str, str], body: Json) -> Json:
        if query.keys() - {"validateOnly", "allowMissing"}:
            raise Refusal(400, f"Invalid JSON payload received. Unknown name {sorted(query)}")
        job = self.jobs[name]
        self._guard(job, body, JOB_FIELDS)
        if not body.get("template", {}).get("template", {}).get("containers"):
            raise Refusal(400, "template.template.containers: a job needs a container")
        # Without a mask, what is not sent is emptied.
        job["annotations"], job["template"] = (
            copy.deepcopy(body.get("annotations", {})),
            copy.deepcopy(body["template"]),
        )
        return self._begin(job, lambda: None)

    def run(self, name: str, body: Json) -> Json:
        task = copy.deepcopy(self.jobs[name]["template"]["template"])
        if body.keys() - {"overrides", "etag", "validateOnly"}:
            raise Refusal(400, f"Invalid JSON payload received. Unknown name {sorted(body)}")
        for override in body.get("overrides", {}).get("containerOverrides", []):
            if override.keys() - {"name", "args", "env", "clearArgs"}:
                raise Refusal(400, f"Invalid JSON payload received. Unknown name {sorted(override)}")
            container = task["containers"][0]
            container["args"] = override.get("args", container["args"])
            named = {one["name"]: one for one in [*container["env"], *override.get("env", [])]}
            container["env"] = list(named.values())
        execution = f"{name}/executions/{name.rpartition('/')[2]}-{next(self._ids)}"
        self.executions[execution] = {
            "name": execution,
            "template": task,
            "taskCount": 1,
            "runningCount": 1,
            "logUri": "https://console.cloud.google.com/logs",
            "conditions": [{"type": "Completed", "state": "CONDITION_RECONCILING"}],
        }
        self._execution_polls[execution] = self.polls
        self.runs.append(self.executions[execution])
        return {"name": f"{PARENT}/operations/{next(self._ids)}", "metadata": self.executions[execution]}

    def _advance(self, name: str) -> Json:
        execution = self.executions[name]
        self._execution_polls[name] -= 1
        if self._execution_polls[name] < 0 and "completionTime" not in execution:
            failed = execution["template"]["containers"][0]["image"] in self.failing_images
            execution |= {
                "completionTime": "2026-11-24T13:30:00Z",
                "runningCount": 0,
                "failedCount" if failed else "succeededCount": 1,
                "conditions": [
                    {"type": "Started", "state": "CONDITION_SUCCEEDED"},
                    {"type": "Completed", "state": "CONDITION_FAILED" if failed else "CONDITION_SUCCEEDED"},
                ],
            }
        return copy.deepcopy(execution)

    def _query(self, method: str, path: str, query: dict[str, str], body: Json | None) -> Json:
        if method == "GET":
            job = path.rpartition("/")[2]
            if query.get("location") != "asia-south1" or job not in self.queries:
                raise Refusal(404, f"Not found: Job market:{job}")
            return {"jobComplete": True, "rows": self.queries[job]}
        assert body is not None
        if body.get("useLegacySql") is not False or body.get("location") != "asia-south1" or not body.get("requestId"):
            raise Refusal(400, "Invalid value")
        if body["requestId"] in self.by_request:
            return self.by_request[body["requestId"]]
        rows = []
        for side, table in re.findall(r"select '(\w+)' as side.*?from `market\.([\w.]+)`", body["query"]):
            if table not in self.marts:
                raise Refusal(404, f"Not found: Table market:{table} was not found in location asia-south1")
            count, checksum = self.marts[table]
            rows.append({"f": [{"v": side}, {"v": str(count)}, {"v": str(checksum)}]})
        if len(rows) != 2:
            raise Refusal(400, f"Syntax error: {body['query']}")
        job = f"job_{next(self._ids)}"
        self.queries[job] = rows
        reference = {"projectId": "market", "jobId": job, "location": "asia-south1"}
        answer = {"jobComplete": False, "jobReference": reference}
        self.by_request[body["requestId"]] = answer
        return answer

    def health_of(self, tag: str, authorization: str | None) -> int:
        """The status of a health check of what has the tag."""
        if self.wants_identity and authorization != f"Bearer {IDENTITY}":
            return 403
        for status in self.service["trafficStatuses"]:
            if status.get("tag") == tag:
                return self.health(status["revision"], status.get("percent", 0))
        return 404


def _without_zero(target: Json) -> Json:
    return {name: value for name, value in target.items() if value != 0}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two packets: held back, each answer takes 40 ms.
    disable_nagle_algorithm = True
    google: Google

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 Its name is the base class's.
        pass

    def _serve(self) -> None:
        google, address = self.google, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with google.lock:
            google.requests.append((self.command, address.path))
            fault = self._fault(address.path)
            if fault and fault.kind in ("reset", "kill"):
                self._drop(fault)
                return
            if tag := re.fullmatch(r"/tags/([a-z-]+)/ready", address.path):
                self._say(google.health_of(tag[1], self.headers.get("Authorization")), {})
                return
            if fault and isinstance(fault.kind, int):
                headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
                self._say(fault.kind, {"error": {"code": fault.kind, "message": "injected"}}, headers)
                return
            try:
                query = {name: values[-1] for name, values in parse_qs(address.query).items()}
                answer = google.answer(self.command, address.path, query, body, self.headers)
            except Refusal as refusal:
                error = {"error": {"code": refusal.status, "message": str(refusal)}}
                self._say(refusal.status, error)
                return
            if fault:
                self._drop(fault)
            else:
                self._say(200, answer)

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815 The base class asks for these names.

    def _fault(self, path: str) -> Fault | None:
        for fault in self.google.faults:
            if fault.method == self.command and re.search(fault.path, path) and fault.times > 0:
                if fault.after > 0:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _drop(self, fault: Fault) -> None:
        fault.struck()
        self.close_connection = True
        self.connection.close()

    def _say(self, status: int, document: Json, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(Loopback):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that was killed has left its connection."""


@contextmanager
def serving(google: Google) -> Iterator[str]:
    """Serve on a free port; yields the address."""
    with loopback.serving(_Server(type("Handler", (_Handler,), {"google": google}))) as server:
        google.base = server.address
        yield google.base
