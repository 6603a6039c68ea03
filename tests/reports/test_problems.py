"""Every error is a problem of RFC 9457, HEAD is answered wherever GET is, and each example of the description runs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from extract.api.problems import KINDS, answer_with_problems
from tests.conftest import Pipeline
from tests.reports.conftest import AUTHORIZATION, TOKEN, Populated, answering, ended, serving

_RUN = "run-20240101T000000Z-0a1b2c"


@pytest.fixture(scope="module")
def client(populated: Populated) -> Iterator[httpx.Client]:
    with serving(populated.pipeline, API_TOKEN=TOKEN) as served:
        yield served


def _problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert set(told) <= {"type", "title", "status", "detail", "instance", "errors", "run_id"}
    assert told["status"] == answer.status_code
    kind = told["type"].removeprefix("/docs#")
    assert told["title"] == KINDS[kind] if kind != "about:blank" else told["title"]
    assert told["detail"]
    return told


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "kind"),
    [
        ("GET", "/data-status", {}, 401, "/docs#no-token"),
        ("GET", "/data-status", {"Authorization": "Basic eDp5"}, 401, "/docs#no-token"),
        ("GET", "/data-status", {"Authorization": "Bearer other"}, 401, "/docs#wrong-token"),
        ("GET", "/nothing-here", AUTHORIZATION, 404, "about:blank"),
        ("GET", "/dashboard/symbols/NOSUCH", AUTHORIZATION, 404, "/docs#unknown-symbol"),
        ("GET", f"/runs/{_RUN}", AUTHORIZATION, 404, "/docs#unknown-run"),
        ("POST", "/bars", AUTHORIZATION, 405, "about:blank"),
        ("OPTIONS", "/bars", AUTHORIZATION, 405, "about:blank"),
        ("GET", "/trigger-daily-ingestion", AUTHORIZATION, 405, "about:blank"),
        ("GET", "/runs?limit=0", AUTHORIZATION, 422, "/docs#not-valid"),
        ("POST", "/trigger-daily-ingestion", AUTHORIZATION | {"Sec-Fetch-Site": "cross-site"}, 403, "/docs#other-site"),
        ("POST", "/trigger-daily-ingestion", {"Content-Length": "70000"}, 413, "about:blank"),
    ],
)
def test_each_refusal_is_a_problem(
    client: httpx.Client, method: str, path: str, sent: dict[str, str], status: int, kind: str
) -> None:
    content = b" " * 70_000 if "Content-Length" in sent else None
    answer = client.request(method, path, headers=sent, content=content)
    told = _problem(answer)
    assert (answer.status_code, told["type"]) == (status, kind)
    challenge = answer.headers.get("WWW-Authenticate", "")
    assert ("invalid_token" in challenge) == (kind == "/docs#wrong-token")
    assert challenge.startswith("Bearer") == (status == 401)
    if status == 405:
        assert answer.headers["Allow"] == ("POST" if path.startswith("/trigger") else "GET, HEAD")


def test_a_part_that_is_not_valid_is_named(client: httpx.Client) -> None:
    wanted = {"symbols": ["TCS", "NOSUCH"], "dates": "2024-01-02"}
    told = _problem(client.post("/trigger-daily-ingestion", json=wanted, headers=AUTHORIZATION))
    assert told["errors"] == [
        {"location": "body/symbols", "detail": "NOSUCH is not among the symbols; write NSE symbols, as TCS,INFY."},
        {"location": "body/dates", "detail": "Extra inputs are not permitted"},
    ]
    assert told["detail"] == "; ".join(f"{each['location']}: {each['detail']}" for each in told["errors"])


def test_a_parameter_that_would_be_ignored_is_refused_and_named(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, (method,) in paths.items():
        address = path.format(run_id=_RUN, symbol="TCS")
        told = _problem(client.request(method, address, params={"limt": "5"}, headers=AUTHORIZATION))
        assert (told["type"], told["errors"][0]["location"]) == ("/docs#not-valid", "query/limt"), path
        # A stranger is not told what there is.
        if path not in ("/live", "/ready", "/health"):
            assert client.request(method, address, params={"limt": "5"}).status_code == 401
    assert len(paths) >= 9
    said = _problem(client.get("/runs?limt=5", headers=AUTHORIZATION))["detail"]
    assert said == "query/limt: is not known here; did you mean limit?"
    said = _problem(client.get("/runs?limit=1&limit=2", headers=AUTHORIZATION))["detail"]
    assert said == "query/limit: is given twice"
    # A page answers no question: whoever follows a link with a mark in it sees the page.
    assert client.get("/?utm_source=mail").status_code == 200


def test_without_a_token_set_the_problem_says_what_to_set(pipeline: Pipeline) -> None:
    with serving(pipeline) as client:
        told = _problem(client.get("/data-status", headers=AUTHORIZATION))
        assert (told["status"], told["type"]) == (403, "/docs#token-not-set")
        assert "API_TOKEN=... trading-data serve" in told["detail"]


def test_a_fault_of_ours_is_a_problem_that_tells_nothing_of_it() -> None:
    app = FastAPI()
    answer_with_problems(app)

    @app.get("/fault")
    def fault() -> None:
        raise ZeroDivisionError("of a secret")

    with answering(app) as client:
        answer = client.get("/fault")
    told = _problem(answer)
    assert (told["status"], told["type"]) == (500, "about:blank")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", told["instance"])
    assert "secret" not in str(told)


def test_head_is_answered_wherever_get_is(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]
    own = ("/", "/symbols", "/symbols/TCS", "/quality", "/docs", "/openapi.json", "/page/main.js", "/swagger-ui.js")
    gets = [path.format(symbol="TCS", run_id=_RUN) for path, operations in described.items() if "get" in operations]
    assert len(gets) >= 9
    for path in (*own, *gets):
        asked = {"params": {"symbol": "TCS"}} if path == "/bars" else {}
        told = client.get(path, headers=AUTHORIZATION, **asked)  # type: ignore[arg-type]
        head = client.head(path, headers=AUTHORIZATION, **asked)  # type: ignore[arg-type]
        assert (head.status_code, head.content) == (told.status_code, b""), path
        assert head.headers["Content-Type"] == told.headers["Content-Type"]
    assert client.head("/trigger-daily-ingestion", headers=AUTHORIZATION).status_code == 405
    assert client.head("/data-status").status_code == 401


def test_each_example_of_the_description_runs(built_pipeline: Pipeline, market: Mapping[str, str]) -> None:
    tried = 0
    with serving(built_pipeline, API_TOKEN=TOKEN, API_TRIGGERS_PER_HOUR="10", **market) as client:
        for path, operations in client.get("/openapi.json").json()["paths"].items():
            for method, operation in operations.items():
                assert operation["summary"]
                assert operation["tags"]
                assert operation["description"]
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                for example in body.get("examples", {}).values():
                    answer = client.request(method, path, json=example["value"], headers=AUTHORIZATION)
                    assert answer.status_code == 202, answer.text
                    ended(client, answer.json()["run_id"])
                    tried += 1
                for parameter in operation.get("parameters", []):
                    for example in parameter.get("examples", {}).values():
                        values = {
                            p["name"]: next(iter(p["examples"].values()))["value"]
                            for p in operation["parameters"]
                            if p.get("required")
                        }
                        values[parameter["name"]] = example["value"]
                        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
                        asked = {name: value for name, value in values.items() if name not in in_path}
                        answer = client.request(method, path.format(**values), params=asked, headers=AUTHORIZATION)
                        assert answer.status_code == 200, answer.text
                        tried += 1
    assert tried >= 7
