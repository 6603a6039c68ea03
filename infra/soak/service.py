"""The server over a long time: callers of every kind at once, while its warehouse is killed and comes back."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from extract.errors import INCOMPLETE, OK, PipelineError
from extract.landing.archive import Archive
from extract.landing.raw import RAW_TABLES
from extract.seeds import EXCHANGE_ZONE
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse.connection import open_warehouse
from infra.local import warehouse as embedded
from infra.local.demo import providers, simulate
from infra.soak.callers import SIGNED, TOKEN, Callers
from infra.soak.outcome import Outcome
from infra.soak.places import FAST, PROCESSES, SYMBOLS, run_environment

BROKEN = ("unbounded_cache", "unbounded_bodies", "unopened")

# Long answers, so that a cache without a bound shows.
_FIRST_DAY = date(2014, 1, 1)
_CALLERS = 4
_MOST_KILLS = 10
_RUNS = 3
_PATIENCE = 60.0

# A server whose caches are full is compared with itself at the end.
_WARM_PART, _MOST_GROWTH = 0.3, 32 * 2**20


def service(count: int, seed: int, broken: str | None) -> Outcome:
    """Send requests; kill the warehouse and start runs in between; then look for what is lost, and what has grown."""
    outcome = Outcome("service", broken, seed)
    drawn = random.Random(seed)  # noqa: S311
    kills = set(drawn.sample(range(count), min(_MOST_KILLS, count // 30)))
    runs = set(drawn.sample(sorted(kills), min(_RUNS, len(kills))))
    last = datetime.now(EXCHANGE_ZONE).date() - timedelta(days=2)
    days = [_FIRST_DAY + timedelta(days=n) for n in range((last - _FIRST_DAY).days)]
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, _filled(Path(folder)) as environment:
        with _served(environment, broken) as (client, process), ThreadPoolExecutor(_CALLERS) as pool:
            callers = Callers(client, SYMBOLS, days, outcome)
            run_ids: list[str] = []
            warm = 0
            calls = [pool.submit(callers.call, f"{seed} {number}") for number in range(count)]
            for number, call in enumerate(calls):
                call.result()
                if number == int(_WARM_PART * count):
                    warm = process.memory_info().rss
                if number in runs:
                    run_ids += _triggered(client)
                if number in kills:
                    outcome.findings += _kill(Path(environment["WAREHOUSE_DIR"]), callers, client)
            grown = process.memory_info().rss - warm
            if grown > _MOST_GROWTH:
                outcome.findings.append(f"the server grew by {grown >> 20} MiB after {_WARM_PART:.0%} of the requests")
            outcome.findings += _without_end(client, run_ids)
        outcome.findings += _lost(environment)
    outcome.told["kills"], outcome.told["runs"] = callers.kills, len(run_ids)
    outcome.told["memory, MiB"], outcome.told["growth, MiB"] = warm >> 20, grown >> 20
    return outcome


@contextmanager
def _filled(folder: Path) -> Iterator[dict[str, str]]:
    """Start providers, and let the scheduled job run once; yield the variables of its warehouse and archive."""
    with providers("--first", str(_FIRST_DAY), "--symbols", ",".join(SYMBOLS)) as address:
        simulate(address, limits=FAST)
        environment = run_environment(address) | {
            "SYMBOLS": ",".join(SYMBOLS),
            "ARCHIVE_URI": str(folder / "archive"),
            "WAREHOUSE_DIR": str(folder / "warehouse"),
            "API_TOKEN": TOKEN,
            "API_TRIGGERS_PER_HOUR": "100",
        }
        try:
            _command(environment, "run")
            yield environment
        finally:
            _command(environment, "warehouse", "--stop")


def _command(environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "extract", *arguments],
        env=environment,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (OK, INCOMPLETE), done.stderr[-2000:]


@contextmanager
def _served(environment: Mapping[str, str], broken: str | None) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """Start the server in a process of its own; yield a client and the process."""
    log = Path(environment["ARCHIVE_URI"]).parent / "serve.log"
    log.touch()
    process = PROCESSES.Process(target=_serve, args=(dict(environment), str(log), broken))
    process.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while not (address := re.search(r"Listening on (http://127\.0\.0\.1:\d+)", log.read_text())):
            if not process.is_alive() or time.monotonic() > deadline:
                raise PipelineError(f"the server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        transport = httpx.HTTPTransport(retries=5, limits=httpx.Limits(max_connections=2 * _CALLERS))
        with httpx.Client(base_url=address[1], transport=transport, timeout=_PATIENCE) as client:
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.join(30)
        process.kill()


def _serve(environment: dict[str, str], log: str, broken: str | None) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with Path(log).open("a") as told:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
    from extract import cli
    from extract.api import access, kept
    from extract.api.opened import OpenedWarehouse

    if broken == "unbounded_cache":
        kept._KEPT_ANSWERS = 5_000
    elif broken == "unbounded_bodies":
        access._LARGEST_BODY = 2**40
    elif broken == "unopened":
        OpenedWarehouse._is_running = lambda *_: True  # type: ignore[method-assign]
    sys.exit(cli.main(["serve", "--port", "0"]))


def _kill(warehouse_dir: Path, callers: Callers, client: httpx.Client) -> list[str]:
    """Kill the warehouse, and wait until the server answers from the next one; return what is wrong."""
    deadline = time.monotonic() + _PATIENCE
    while (server := embedded.find(warehouse_dir)) is None:
        if time.monotonic() > deadline:
            return ["no warehouse was there to be killed"]
        time.sleep(0.1)
    assert server.pid is not None
    callers.is_down = True
    callers.kills += 1
    os.kill(server.pid, signal.SIGKILL)
    while time.monotonic() < deadline:
        if client.get("/data-status", headers=SIGNED).status_code == 200:
            callers.is_down = False
            return []
        time.sleep(0.2)
    return [f"the server did not answer within {_PATIENCE:.0f} s of a kill"]


def _triggered(client: httpx.Client) -> list[str]:
    """Start a run as a caller does; one that is under way is not started twice."""
    answer = client.post("/trigger-daily-ingestion", headers=SIGNED, json={"symbols": ["TCS"]})
    assert answer.status_code in (202, 409, 503), answer.text
    return [answer.json()["run_id"]] if answer.status_code == 202 else []


def _without_end(client: httpx.Client, run_ids: list[str]) -> list[str]:
    deadline = time.monotonic() + 4 * _PATIENCE
    left = list(run_ids)
    while left and time.monotonic() < deadline:
        told = {run_id: client.get(f"/runs/{run_id}", headers=SIGNED).json() for run_id in left}
        left = [run_id for run_id, run in told.items() if run.get("state", "running") == "running"]
        time.sleep(0.5)
    return [f"{run_id} has no end: {told[run_id]}" for run_id in left]


def _lost(environment: Mapping[str, str]) -> list[str]:
    """Run once more, and compare raw with the archive."""
    _command(environment, "run")
    with open_warehouse(Settings.from_environment(environment)) as warehouse:
        paths = Archive(environment["ARCHIVE_URI"]).paths()
        archived = {path for path in paths if path.partition("/")[0] in RAW_TABLES}
        loaded: set[Any] = set()
        for name in RAW_TABLES:
            rows = warehouse.query(f"select distinct _archive_path from `{warehouse.raw}.{name}`")
            loaded |= {row["_archive_path"] for row in rows}
    return [f"archived and never loaded: {path}" for path in sorted(archived - loaded)]
