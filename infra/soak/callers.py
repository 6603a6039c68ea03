"""Callers of the server: those who ask as they should, strangers, and those who send anything."""

import csv
import io
import random
import re
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from typing import Any
from urllib.parse import quote

import httpx
from jsonschema_rs import Validator, validator_for

from infra.soak.outcome import Outcome

TOKEN = "a-token-of-the-soak"  # noqa: S105 It opens what the exercise starts.
SIGNED = {"Authorization": f"Bearer {TOKEN}"}

# A probe is answered in this time, whatever the warehouse does. Cloud Run ends any request after a minute.
_PROBE_SECONDS, _REQUEST_SECONDS = 5.0, 60.0
_PROBES = ("/live", "/ready", "/health")

_PAGES = ("/", "/docs", "/openapi.json", "/page/main.js", "/symbols/TCS")

# How an address or a request that the description does not have is refused.
_REFUSALS = (400, 401, 403, 404, 405, 411, 413, 414, 422, 431)

_STRANGERS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Basic YTpi"},
    {"Authorization": "Bearer"},
)
_CLOSED_TO_STRANGERS = ("/data-status", "/bars?symbol=TCS", "/runs", "/dashboard/overview", "/dashboard/symbols/TCS")

_ODD_PATHS = (
    "/page/../../../etc/passwd",
    "/page/%2e%2e/%2e%2e/etc/passwd",
    "/symbols/%00",
    "/runs/" + "r" * 5_000,
    "/dashboard/symbols/TCS%27%20or%201=1",
    "/bars?symbol=TCS&from=9999-99-99",
    "/bars?symbol=" + "TCS," * 3_000,
    "/bars?symbol=TCS&symbol=ABB&limit=1",
    "/bars?symbol=%F0%28%8C%28",
    "/bars?symbol=TCS&from=0001-01-01&to=9999-12-31",
    "/.env",
)

# Without a body, the scheduled job would run.
_ODD_BODIES = (
    b"{",
    b"[" * 30_000,
    b'{"date": "2024-13-45"}',
    b'{"symbols": ["\'; drop table daily_bars; --"]}',
    b'{"symbols": [], "dates": []}',
    b"\xff\xfe\x00",
    b'{"source": 1e999}',
)
_LARGE_BODY = b" " * 65_537

_TRIGGER = b"POST /trigger-daily-ingestion HTTP/1.1\r\nHost: x\r\n"
_ODD_BYTES = (
    b"\r\n\r\n",
    b"hello\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /ready HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    _TRIGGER + b"Content-Length: -1\r\n\r\n",
    _TRIGGER + b"Content-Length: 629145600\r\n\r\n",
    _TRIGGER + b"Transfer-Encoding: chunked\r\n\r\n5\r\n",
    # It promises more than it sends.
    _TRIGGER + b"Content-Length: 900\r\n\r\n{",
)


class Callers:
    """Send requests to one server, from several threads, and judge its answers.

    Attributes:
        kills: how often the warehouse was killed.
        is_down: whether it has been killed, and has not yet answered again.
    """

    def __init__(self, client: httpx.Client, symbols: Sequence[str], days: Sequence[date], outcome: Outcome) -> None:
        """Read the server's description of itself, and the bars that it must go on telling."""
        self.kills = 0
        self.is_down = False
        self._client = client
        self._symbols = symbols
        self._days = days
        self._outcome = outcome
        self._telling = threading.Lock()
        self._described = _described(client.get("/openapi.json").json())
        self._closes = {symbol: _closes(self._ask("GET", self._all_bars(symbol))[0].text) for symbol in symbols}
        assert all(len(bars) > 100 for bars in self._closes.values()), "the server has no bars"
        self._kinds = {
            self._probe: 20,
            self._page: 10,
            self._data: 25,
            self._bars: 15,
            self._stranger: 10,
            self._odd_path: 8,
            self._odd_body: 5,
            self._large_body: 2,
            self._odd_bytes: 5,
        }

    def call(self, seed: str) -> None:
        """Send one request, and keep what is wrong with its answer."""
        drawn = random.Random(seed)  # noqa: S311
        (send,) = drawn.choices(list(self._kinds), list(self._kinds.values()))
        try:
            wrong = send(drawn)
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            wrong = f"no answer that can be read: {type(error).__name__} {error}"
        with self._telling:
            self._outcome.count += 1
            kind = send.__name__.strip("_").replace("_", " ")
            self._outcome.told[kind] += 1
            if wrong:
                self._outcome.findings.append(f"{kind}: {wrong}")

    def _ask(self, method: str, path: str, headers: dict[str, str] = SIGNED, **sent: Any) -> tuple[httpx.Response, str]:
        """Send a request; return the answer, and what is wrong with it (empty if nothing is)."""
        kills, was_down, began = self.kills, self.is_down, time.monotonic()
        answer = self._client.request(method, path, headers=headers, timeout=_REQUEST_SECONDS * 2, **sent)
        seconds = time.monotonic() - began
        asked, status = path.partition("?")[0], answer.status_code
        where = f"{method} {path[:80]} was answered {status} after {seconds:.1f} s"
        if seconds > (_PROBE_SECONDS if asked in _PROBES else _REQUEST_SECONDS):
            return answer, f"{where}: too late"
        if status == 503 and asked not in _PROBES and not was_down and kills == self.kills:
            return answer, f"{where}, while the warehouse was there: {answer.text[:200]}"
        responses = next(
            (found for (way, at), found in self._described.items() if way == method and at.fullmatch(asked)), {}
        )
        if not responses or status in (411, 413):
            return answer, "" if status in (200, *_REFUSALS) else where
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        if status not in responses or (responses[status] and kind not in responses[status]):
            return answer, f"{where} as {kind}, which is not described: {answer.text[:200]}"
        if kind.endswith("json") and not responses[status][kind].is_valid(answer.json()):
            return answer, f"{where} with a body that is not described: {answer.text[:200]}"
        return answer, ""

    def _probe(self, drawn: random.Random) -> str:
        return self._ask("GET", drawn.choice(_PROBES), {})[1]

    def _page(self, drawn: random.Random) -> str:
        path = drawn.choice(_PAGES)
        answer, wrong = self._ask(drawn.choice(("GET", "HEAD")), path, {})
        return wrong or ("" if answer.status_code == 200 else f"{path} was answered {answer.status_code}")

    def _data(self, drawn: random.Random) -> str:
        first, last = sorted(drawn.sample(self._days, 2))
        symbol = drawn.choice(self._symbols)
        paths = (
            "/data-status",
            "/runs",
            "/runs/run-20240101T000000Z-0a1b2c",
            "/dashboard/overview",
            f"/dashboard/symbols/{quote(symbol)}?from={first}&to={last}",
            f"/bars?symbol={quote(symbol.lower())}&from={first}&to={last}",
        )
        return self._ask("GET", drawn.choice(paths))[1]

    def _bars(self, drawn: random.Random) -> str:
        symbol = drawn.choice(self._symbols)
        answer, wrong = self._ask("GET", self._all_bars(symbol))
        if wrong or answer.status_code != 200:
            return wrong
        lost = self._closes[symbol].items() - _closes(answer.text).items()
        return f"{len(lost)} bars of {symbol} are lost or have changed, such as {min(lost)}" if lost else ""

    def _stranger(self, drawn: random.Random) -> str:
        path = drawn.choice(_CLOSED_TO_STRANGERS)
        answer, wrong = self._ask("GET", path, drawn.choice(_STRANGERS))
        return wrong or ("" if answer.status_code == 401 else f"{path} answered a stranger {answer.status_code}")

    def _odd_path(self, drawn: random.Random) -> str:
        return self._ask("GET", drawn.choice(_ODD_PATHS))[1]

    def _odd_body(self, drawn: random.Random) -> str:
        answer, wrong = self._ask(
            "POST",
            "/trigger-daily-ingestion",
            SIGNED | {"Content-Type": drawn.choice(("application/json", "text/plain"))},
            content=drawn.choice(_ODD_BODIES),
        )
        return wrong or ("" if answer.status_code in _REFUSALS else f"it was answered {answer.status_code}")

    def _large_body(self, drawn: random.Random) -> str:
        headers = drawn.choice((SIGNED, {}))
        answer, wrong = self._ask("POST", "/trigger-daily-ingestion", headers, content=_LARGE_BODY)
        return wrong or ("" if answer.status_code == 413 else f"it was answered {answer.status_code}")

    def _odd_bytes(self, drawn: random.Random) -> str:
        sent, host, port = drawn.choice(_ODD_BYTES), self._client.base_url.host, self._client.base_url.port
        assert port is not None
        told = b""
        # The server may hang up before all is sent. But it may not wait for more when no more can come.
        with socket.create_connection((host, port), timeout=_PROBE_SECONDS) as connection, suppress(ConnectionError):
            connection.sendall(sent)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            told = connection.recv(100)
        status = re.match(rb"HTTP/1\.1 (\d+)", told)
        if not told or (status and int(status[1]) in (200, *_REFUSALS)):
            return ""
        return f"{sent[:40]!r} was answered {told!r}"

    def _all_bars(self, symbol: str) -> str:
        return f"/bars?symbol={quote(symbol)}&from={self._days[0]}&to={self._days[-1]}&format=csv"


def _described(document: dict[str, Any]) -> dict[tuple[str, re.Pattern[str]], dict[int, dict[str, Validator]]]:
    """What each operation may answer: a check of the body, by status and media type."""
    return {
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path))): {
            int(status): {
                kind: validator_for(content["schema"] | {"components": document["components"]})
                for kind, content in response.get("content", {}).items()
            }
            for status, response in operation["responses"].items()
        }
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def _closes(told: str) -> dict[str, str]:
    return {row["trade_date"]: row["close"] for row in csv.DictReader(io.StringIO(told))}
