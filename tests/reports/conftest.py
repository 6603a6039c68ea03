"""A server of the API, a webhook, and marts that a real run has made of what simulated providers sent."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from extract.api.connections import BoundedConnection
from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, last_closed_session
from extract.settings import PROJECT_DIR
from infra.doubles import loopback
from infra.doubles.loopback import Loopback
from infra.local.demo import providers, simulate
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN
from infra.local.series import TICKS_PER_RUPEE
from tests.conftest import Pipeline, copied, made_once, write_bars

TOKEN = "a-token-of-this-test"  # noqa: S105 It opens what this test starts.
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}

# Whoever knows a webhook's address can write to its channel.
SECRET = "secret-of-the-webhook"  # noqa: S105

SYMBOLS = ("ABB", "ACC", "BEL", "DLF", "GAIL", "INFY", "ITC", "LT", "NTPC", "SBIN", "TCS", "UPL")
RESTATED = "TCS"
APART = ("INFY", "ITC", "LT", "NTPC", "SBIN", "UPL")

FIRST = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=400)
_PRICES = ("open", "high", "low", "close")

_FAST = {"kite_candles": 1000, "kite_quotes": 1000, "kite_others": 1000, "yahoo": 1000, "alpha_vantage": 1000}


class Webhook(Loopback):
    """A server that keeps what it is sent, and answers with a status."""

    def __init__(self, status: int = 200) -> None:
        """Listen on a free port."""
        super().__init__(_Handler)
        self.status = status
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where alerts are sent to."""
        return f"{self.address}/services/T0/B0/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        assert self.path.endswith(f"/{SECRET}")
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()


@contextmanager
def serving(pipeline: Pipeline, command: str = "serve", **settings: str) -> Iterator[httpx.Client]:
    """The command, listening on a free port, with a client of it."""
    # A file, because a run that was triggered goes on writing there, and nobody empties a pipe.
    log = pipeline.archive_dir.parent / f"serve-{uuid.uuid4().hex[:8]}.log"
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "extract", command, "--port", "0"],
            env=pipeline.environment | settings,
            cwd=PROJECT_DIR,
            stderr=told,
        )
    try:

        def listening() -> list[str]:
            assert process.poll() is None, "it ended before it listened"
            return re.findall(r"Listening on (http://127\.0\.0\.1:\d+)", log.read_text())

        (address, *_) = _seen(listening, command)
        # The address is told a moment before it listens.
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(base_url=address, timeout=60, transport=transport) as client:
            yield client
            # What was started outlives the server, and would write into what the next test reads.
            for run_id in re.findall(r'"triggered_run_id": "([^"]+)"', log.read_text()):
                ended(client, run_id)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)
    assert status == 0, log.read_text()[-3000:]


@contextmanager
def answering(app: FastAPI) -> Iterator[httpx.Client]:
    """An application that answers in this process, with a client of it."""
    server = uvicorn.Server(uvicorn.Config(app, http=BoundedConnection, log_config=None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def ended(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """What is told of a run that was triggered, when it is on its way no more."""

    def look() -> dict[str, Any] | None:
        answer = client.get(f"/runs/{run_id}", headers=AUTHORIZATION)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told if told["state"] != "running" else None

    return _seen(look, run_id)


def _seen[T](look: Callable[[], T | None], what: str) -> T:
    """What is seen at last."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.1)
    raise AssertionError(f"{what} took too long")


@pytest.fixture(scope="session")
def market() -> Iterator[Mapping[str, str]]:
    """Simulated providers of twelve symbols, by now; the variables that point a command at them, without waits."""
    with providers("--first", str(FIRST), "--symbols", ",".join(SYMBOLS)) as address:
        simulate(address, limits=_FAST)
        paces = {"KITE_REQUESTS_PER_SECOND": "500", "YAHOO_REQUESTS_PER_SECOND": "500"}
        yield address | paces | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN, "ALPHA_VANTAGE_API_KEY": ""}


@dataclass(frozen=True)
class Populated:
    """A pipeline whose job has run once.

    Attributes:
        pipeline: with an archive and marts of its own.
        log: the lines of the run, as it wrote them.
        told: the bodies that its webhook was sent.
    """

    pipeline: Pipeline
    log: list[dict[str, Any]]
    told: list[dict[str, Any]]


@pytest.fixture(scope="session")
def populated_marts(tmp_path_factory: pytest.TempPathFactory, empty_marts: Path, market: Mapping[str, str]) -> Path:
    """The folder in which the job has run once.

    Kite had sent the past of one symbol at twice the price before, and Yahoo sends the last bar but one of some again.
    """

    def run_once(folder: Path) -> None:
        with copied(empty_marts, folder / "warehouse") as warehouse_dir, loopback.serving(Webhook()) as webhook:
            pipeline = Pipeline(folder / "archive", warehouse_dir)
            _send_before_a_split(pipeline)
            # The two are then apart in the last session.
            simulate(market, faults=[{"source": "yahoo", "kind": "repeated_last_bar", "symbols": APART}])
            settings = dict(market) | {"ALERT_WEBHOOK_URL": webhook.url}
            done = pipeline.command("run", "--symbols", ",".join(SYMBOLS), environment=settings)
            simulate(market, faults=[])
            # One symbol of the market is not served by Kite, another not by Yahoo.
            assert done.returncode == 3, done.stderr[-3000:]
            (folder / "log.jsonl").write_text(done.stderr)
            (folder / "told.json").write_text(json.dumps(webhook.bodies))

    return made_once(tmp_path_factory, "populated", run_once)


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory, populated_marts: Path) -> Iterator[Populated]:
    """A copy of what the job made in its one run, for the tests of a file."""
    folder = tmp_path_factory.mktemp("populated")
    shutil.copytree(populated_marts / "archive", folder / "archive")
    log = [json.loads(line) for line in (populated_marts / "log.jsonl").read_text().splitlines() if line[0] == "{"]
    told = json.loads((populated_marts / "told.json").read_text())
    with copied(populated_marts / "warehouse", folder / "warehouse") as warehouse_dir:
        yield Populated(Pipeline(folder / "archive", warehouse_dir), log, told)


def _send_before_a_split(pipeline: Pipeline) -> None:
    """Archive what Kite is to have sent some evenings ago: the past of one symbol, at twice what it will say now."""
    last = last_closed_session(datetime.now(EXCHANGE_ZONE) - timedelta(days=3))
    received = datetime.combine(last, datetime.min.time(), EXCHANGE_ZONE) + timedelta(hours=20)
    clean = draft_market(first=FIRST, last=last, symbols=[RESTATED])
    rows = [
        {
            "symbol": RESTATED,
            "date": datetime.combine(session.trade_date, datetime.min.time(), EXCHANGE_ZONE),
            **{name: 2 * int(getattr(clean.truth, name)[0, day]) / TICKS_PER_RUPEE for name in _PRICES},
            "volume": int(clean.truth.volume[0, day]) // 2,
        }
        for day, session in enumerate(clean.sessions)
    ]
    write_bars(pipeline.archive, KITE_DAILY_BARS, "before-the-split", received, *rows)
