"""The server as a process that lives for weeks: its warehouse hangs and dies, and strangers send too much."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from fastapi import FastAPI, Request

from extract.api import connections
from extract.api.kept import KeptAnswers
from extract.api.launch import LocalProcesses
from extract.api.orders import Order
from extract.errors import PipelineError
from extract.settings import Settings
from infra.local.warehouse import find
from tests.conftest import Pipeline, copied
from tests.reports.conftest import AUTHORIZATION, TOKEN, answering, serving

# Probes of Cloud Run and of a release give up after so many seconds.
PATIENCE = 5.0


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _timed(client: httpx.Client, path: str) -> tuple[int, float]:
    began = time.monotonic()
    return client.get(path).status_code, time.monotonic() - began


def test_probes_answer_in_time_while_the_warehouse_hangs(pipeline: Pipeline, silent: str) -> None:
    with (
        serving(pipeline, API_TOKEN=TOKEN, BIGQUERY_EMULATOR_HOST=silent) as client,
        httpx.Client(base_url=client.base_url, timeout=PATIENCE * 4, limits=httpx.Limits(max_connections=200)) as many,
        ThreadPoolExecutor(110) as pool,
    ):
        # Each thread of the server waits for the warehouse, for somebody who may ask.
        waiting = [pool.submit(_quietly, many, "/data-status") for _ in range(45)]
        time.sleep(1)
        probes = [pool.submit(_timed, many, path) for path in ("/ready", "/health") * 25]
        for path in ("/live", "/", "/page/main.js"):
            status, seconds = _timed(client, path)
            assert (status, seconds < 2) == (200, True), (path, seconds)
        # Who may not ask is told so, and takes no thread.
        status, seconds = _timed(client, "/data-status")
        assert (status, seconds < 2) == (401, True)
        for probe in probes:
            status, seconds = probe.result()
            assert (status, seconds < PATIENCE) == (503, True), seconds
        assert silent.partition("//")[2] not in client.get("/health").text + client.get("/ready").text
        for one in waiting:
            one.cancel()


def _quietly(client: httpx.Client, path: str) -> None:
    with suppress(httpx.HTTPError):
        client.get(path, headers=AUTHORIZATION, timeout=8)


def test_it_recovers_when_its_warehouse_has_died(empty_marts: Path, tmp_path: Path) -> None:
    with copied(empty_marts, tmp_path / "warehouse") as warehouse_dir:
        pipeline = Pipeline(tmp_path / "archive", warehouse_dir)
        pipeline.archive.create("anything", b"")
        with serving(pipeline, API_TOKEN=TOKEN) as client:
            assert client.get("/ready").status_code == 200
            server = find(warehouse_dir)
            assert server is not None
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while (answered := _timed(client, "/ready"))[0] != 200:
                assert answered[1] < PATIENCE
                assert time.monotonic() < deadline, "it did not recover"
                time.sleep(0.2)
            assert client.get("/data-status", headers=AUTHORIZATION).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 629145600", b"413"),
        (b"Content-Length: 65537", b"413"),
        (b"Transfer-Encoding: chunked", b"411"),
    ],
)
def test_a_large_body_is_refused_and_not_read(pipeline: Pipeline, head: bytes, status: bytes) -> None:
    with serving(pipeline, API_TOKEN=TOKEN) as client:
        host, port = client.base_url.host, client.base_url.port
        assert port is not None
        with socket.create_connection((host, port), timeout=20) as sender:
            sender.sendall(
                b"POST /trigger-daily-ingestion HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                + head
                + b"\r\n\r\n"
            )
            sent = 0
            with pytest.raises(OSError, match=r"reset|pipe|aborted"):  # noqa: PT012 The server hangs up.
                while sent < 600_000_000:
                    sender.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                    sent += 65_536
            # What the system's buffers hold.
            assert sent < 50_000_000
        answer = client.post("/trigger-daily-ingestion", content=b" " * 65_537, headers=AUTHORIZATION)
        assert (answer.status_code, "65536 bytes at most" in answer.text) == (413, True)
        assert status in _answer_to(host, port, head)


def test_who_sends_a_little_too_much_gets_the_answer(pipeline: Pipeline) -> None:
    with serving(pipeline, API_TOKEN=TOKEN) as client:
        host, port = client.base_url.host, client.base_url.port
        assert port is not None
        with socket.create_connection((host, port), timeout=20) as sender:
            sender.sendall(b"POST /trigger-daily-ingestion HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            for _ in range(100):
                # A connection that was closed before all was read would be reset after the next part.
                sender.sendall(b" " * 10_000)
                time.sleep(0.01)
            assert sender.recv(1000).startswith(b"HTTP/1.1 413 ")


POST_WITHOUT_BODY = b"POST /live HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"GET /live HTTP/1.1\r\nHost: x\r\n",
        POST_WITHOUT_BODY + b"{",
        # The whole one before it is answered, and the parser then begins the next without any new data.
        b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n" + POST_WITHOUT_BODY,
    ],
)
@pytest.mark.parametrize("is_second", [False, True])
def test_who_sends_a_part_of_a_request_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, part: bytes, *, is_second: bool
) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 1.0)
    with answering(_alive()) as client, socket.create_connection(_place(client), timeout=20) as sender:
        if is_second:
            sender.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
            answered = b""
            while b"alive" not in answered:
                came = sender.recv(1000)
                assert came
                answered += came
        sender.sendall(part)
        # Waiting for the next request, it is ended by uvicorn after five seconds.
        began_at = time.monotonic()
        with suppress(ConnectionResetError):
            while sender.recv(1000):
                pass
        assert time.monotonic() - began_at < 15


def test_a_slow_answer_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.5)
    with answering(_alive(after=2.0)) as client:
        assert client.get("/live").json() == "alive"
        assert client.get("/live").json() == "alive"


def test_a_thousand_half_requests_leave_room_for_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MOST_CONNECTIONS", 50)
    with answering(_alive()) as client, ExitStack() as leave:
        for number in range(400):
            sender = leave.enter_context(socket.create_connection(_place(client), timeout=20))
            with suppress(ConnectionError):
                sender.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n")
            if number % 100 == 99:
                assert client.get("/live").json() == "alive"
        own = psutil.Process().net_connections("tcp")
        served = [c for c in own if c.laddr and c.laddr.port == client.base_url.port and c.status == "ESTABLISHED"]
        assert len(served) <= 51


def _alive(after: float = 0.0) -> FastAPI:
    app = FastAPI()

    @app.get("/live")
    async def live() -> str:
        await asyncio.sleep(after)
        return "alive"

    @app.post("/live")
    async def read(request: Request) -> int:
        return len(await request.body())

    return app


def _place(client: httpx.Client) -> tuple[str, int]:
    assert client.base_url.port is not None
    return client.base_url.host, client.base_url.port


def _answer_to(host: str, port: int, head: bytes) -> bytes:
    with socket.create_connection((host, port), timeout=20) as sender:
        sender.sendall(b"POST /trigger-daily-ingestion HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        return sender.recv(1000).partition(b"\r\n")[0]


def test_what_is_kept_for_the_page_has_a_bound() -> None:
    at = datetime(2024, 12, 31, tzinfo=UTC)
    mark = {"built_at": at, "noted_at": at, "reported_at": at}
    warehouse: Any = SimpleNamespace(raw="local.trading_data_raw", query=lambda _: [dict(mark)])
    answers = KeptAnswers(lambda: warehouse)
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    for number in range(500):
        assert answers.kept(("TCS", number), partial(make, number)) == number
        assert answers.kept("overview", lambda: -1) == -1
    assert len(answers) < 50
    # What was asked for last, and often, is still there.
    assert answers.kept(("TCS", 499), partial(make, -2)) == 499
    assert made == list(range(500))
    # A build, a batch or a report: whatever a run leaves behind, what was kept before is old.
    for count, part in enumerate(mark, start=1):
        mark[part] += timedelta(seconds=1)
        assert answers.kept(("TCS", 499), partial(make, 1000 + count)) == 1000 + count
        assert answers.kept(("TCS", 499), partial(make, -3)) == 1000 + count


def test_those_who_ask_at_once_share_one_look_at_what_is_new() -> None:
    looks: list[float] = []

    def query(_: str) -> list[dict[str, datetime]]:
        looks.append(time.monotonic())
        time.sleep(0.2)
        return [dict.fromkeys(("built_at", "noted_at", "reported_at"), datetime(2024, 12, 31, tzinfo=UTC))]

    warehouse: Any = SimpleNamespace(raw="local.trading_data_raw", query=query)
    answers = KeptAnswers(lambda: warehouse)
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda number: answers.kept(number % 3, lambda: "told"), range(20)))
    assert told == ["told"] * 20
    # Who came while the first was looking may not be told what it saw: it may have begun before the run ended.
    assert len(looks) <= 3
    # Who comes later looks again.
    answers.kept(0, lambda: "told")
    assert len(looks) <= 4
    assert looks[-1] - looks[0] > 0.2


def test_a_failure_of_a_warehouse_that_died_is_not_shared_by_those_who_have_the_next_one() -> None:
    def opened() -> Any:
        mark = dict.fromkeys(("built_at", "noted_at", "reported_at"), datetime(2024, 12, 31, tzinfo=UTC))
        return SimpleNamespace(raw="local.trading_data_raw", query=lambda _: [mark])

    dying, next_one = opened(), opened()
    open_now = [dying]
    answers = KeptAnswers(lambda: open_now[0])
    begun, died = threading.Event(), threading.Event()

    def make() -> str:
        if open_now[0] is next_one:
            return "told"
        begun.set()
        died.wait(20)
        raise PipelineError("connection refused")

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(answers.kept, "status", make)
        assert begun.wait(20)
        shares = pool.submit(answers.kept, "status", make)
        time.sleep(0.2)
        open_now[0] = next_one
        asks_the_next = pool.submit(answers.kept, "status", make)
        time.sleep(0.2)
        died.set()
        for refused in (first, shares):
            assert isinstance(refused.exception(20), PipelineError)
        assert asks_the_next.result(20) == "told"


class _Replay(Order):
    """A command that asks no provider."""

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("replay", "--no-build")


@contextmanager
def _within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def test_a_run_that_was_started_elsewhere_writes_where_the_server_looks(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = {
        "WAREHOUSE_DIR": os.path.relpath(pipeline.warehouse_dir, tmp_path),
        "ARCHIVE_URI": "archive",
        "KITE_TOKEN_STORE": "session.json",
    }
    for name, value in (pipeline.environment | relative).items():
        monkeypatch.setenv(name, value)
    with _within(tmp_path):
        settings = Settings.from_environment(os.environ)
        processes = LocalProcesses(settings)
        run_id = "run-20240102T130000Z-0a1b2c"
        processes.start(_Replay(command="run", run_id=run_id, trade_date=date(2024, 1, 2)))
        _, process = processes._started[run_id]
        assert process.wait(120) == 0
    assert [path.partition("/")[0] for path in pipeline.archive.paths()] == ["extract_runs"]


def test_a_port_that_another_process_has_is_bad_usage(pipeline: Pipeline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = pipeline.command("serve", "--port", port)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"port {port} is in use; --port 0 takes a free one" in done.stderr
    done = pipeline.command("serve", "--host", "no.such.host.invalid")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
