"""``make soak``: the extractor killed, started twice, failed by its stores, lied to by its providers, given bad files.

Each exercise has a seed and a count, and prints one JSON line. It is run again with one or two of our defences taken
out in turn: then it must find something, or its zero means nothing.

The real clients fetch from simulated providers, into a real archive and the embedded warehouse; dbt is not part of it.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from extract.errors import AlreadyRunning, PipelineError
from extract.fetching import extraction as extraction_module
from extract.fetching.run import Job, daily_plan, fetch
from extract.fetching.shortfalls import shortfalls
from extract.landing.archive import Archive, BatchRefused
from extract.landing.lease import held
from extract.landing.raw import RAW_TABLES
from extract.run_id import new_run_id
from extract.seeds import EXCHANGE_ZONE, last_closed_session, listed_instruments
from extract.settings import Settings
from extract.warehouse import replay as replay_module
from extract.warehouse.connection import Warehouse, open_warehouse
from extract.warehouse.replay import Replay
from infra.doubles import bucket, proxy
from infra.doubles.loopback import serving
from infra.local.demo import providers, simulate
from infra.local.providers import ACCESS_TOKEN
from infra.local.warehouse import running
from infra.soak import downloads, payloads

_SYMBOLS = ("ABB", "M&M", "TCS")
_FIRST, _LAST = date(2024, 10, 1), date(2024, 12, 31)
_EVENING = datetime(2024, 12, 31, 18, 30, tzinfo=EXCHANGE_ZONE)
_FAST = {"kite_candles": 1000, "kite_quotes": 1000, "kite_others": 1000, "yahoo": 1000, "alpha_vantage": 1000}

# The number of episodes at once.
_LANES = 2
_HEALING_RUNS = 8

# Children are forked from a process without threads that has imported everything: a start takes 50 ms instead of 3 s.
_processes = multiprocessing.get_context("forkserver")

BROKEN = {
    "kills": ("torn_writes", "unhealed"),
    "pairs": ("no_lease", "overwriting"),
    "faults": ("loaded_twice",),
    "payloads": tuple(payloads.BROKEN),
    "files": tuple(downloads.BROKEN),
}


@dataclass(slots=True)
class Outcome:
    """The result of an exercise.

    Attributes:
        exercise: its name.
        broken: the defence that was removed, if any.
        seed: the seed of its random choices.
        count: the number of kills, pairs, faults, payloads or files.
        findings: what was lost, duplicated, orphaned or wrong, a sentence each.
        told: counts by kind.
        seconds: how long it took.
    """

    exercise: str
    broken: str | None
    seed: int
    count: int = 0
    findings: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The result for one line of JSON: the number of findings, and the first ones."""
        return {
            "exercise": self.exercise,
            "broken": self.broken,
            "seed": self.seed,
            "count": self.count,
            "finding_count": len(self.findings),
            "findings": self.findings[:5],
            "told": dict(sorted(self.told.items())),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Place:
    """The place that one episode writes to, with the environment variables for a run."""

    environment: Mapping[str, str]
    # The variables that bypass the proxies, to examine the results.
    direct: Mapping[str, str]

    def run(self, kill_at: int = 0, broken: str | None = None) -> "Run":
        """Start a run; see ``_child``."""
        told, tell = _processes.Pipe(duplex=False)
        process = _processes.Process(target=_child, args=(dict(self.environment), kill_at, broken, tell), daemon=True)
        process.start()
        tell.close()
        return Run(process, told)


@dataclass(frozen=True, slots=True)
class Run:
    """A run in a process of its own."""

    process: Any
    told: Any

    def status(self) -> int:
        """Wait; return its exit status, negative for a signal."""
        self.process.join(120)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise PipelineError("a run hung for two minutes")
        return int(self.process.exitcode)

    def write_count(self) -> int:
        """The number of write boundaries that it passed; only for a run that ended by itself."""
        return int(self.told.recv())


def _child(environment: dict[str, str], kill_at: int, broken: str | None, tell: Any) -> None:
    """Fetch what is new, and die at a write boundary. There is one before and one after each write."""
    os.environ.clear()
    os.environ.update(environment)
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    passed = [0]

    def boundary() -> None:
        passed[0] += 1
        if passed[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def at_boundaries(write: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            boundary()
            result = write(*arguments)
            boundary()
            return result

        return wrapped

    if broken:
        _break(broken, boundary)
    Archive.create = at_boundaries(Archive.create)  # type: ignore[method-assign]
    Warehouse.append = at_boundaries(Warehouse.append)  # type: ignore[method-assign]
    try:
        status = _run_once(Settings.from_environment(os.environ))
    except PipelineError:
        status = 1
    tell.send(passed[0])
    os._exit(status)


def _run_once(settings: Settings) -> int:
    with open_warehouse(settings) as warehouse:
        warehouse.create_raw()
        archive = Archive(settings.archive_uri)
        job = Job(
            settings=settings,
            instruments=listed_instruments(_SYMBOLS),
            due=last_closed_session(_EVENING),
            run_id=new_run_id("soak", _EVENING),
            archive=archive,
            warehouse=lambda: warehouse,
            clock=lambda: _EVENING,
            progress=lambda *_: None,
            first_wait=0.01,
        )
        with held(archive, job.run_id, "soak", lambda: datetime.now(EXCHANGE_ZONE), wait=lambda _: time.sleep(0.02)):
            fetch(job, daily_plan(job))
        return 1 if shortfalls(job) else 0


def _break(variant: str, boundary: Callable[[], None]) -> None:
    """Remove one defence."""
    if variant == "torn_writes":

        def create(self: Archive, path: str, body: bytes) -> bool:
            target = Path(self.uri) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.write(body[: len(body) // 2])
                file.flush()
                boundary()
                file.write(body[len(body) // 2 :])
            return True

        Archive.create = create  # type: ignore[method-assign]
    elif variant == "unhealed":
        extraction_module.replay = lambda *_, **__: Replay()  # type: ignore[attr-defined]
    elif variant == "loaded_twice":
        append = Warehouse.append

        def append_under_any_id(self: Warehouse, destination: str, rows: Any, job_id: str) -> None:
            append(self, destination, rows, f"{job_id}_{uuid.uuid4().hex}")

        Warehouse.append = append_under_any_id  # type: ignore[method-assign]
        replay_module.loaded_paths = lambda *_: set()  # type: ignore[attr-defined]


@contextmanager
def _places(*, is_faulty: proxy.Between | None = None) -> Iterator[Callable[[], Place]]:
    """Start providers and a warehouse; yield a function that creates a place on them with datasets of its own."""
    with ExitStack() as leave:
        folder = Path(leave.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        address = leave.enter_context(
            providers("--first", str(_FIRST), "--last", str(_LAST), "--symbols", ",".join(_SYMBOLS))
        )
        simulate(address, now=_EVENING.isoformat(), limits=_FAST)
        host = leave.enter_context(running(folder / "warehouse"))
        paces = {"KITE_REQUESTS_PER_SECOND": "1000", "YAHOO_REQUESTS_PER_SECOND": "1000"}
        users = ("BIGQUERY_", "ARCHIVE_", "WAREHOUSE_", "KITE_", "YAHOO_", "ALPHA_VANTAGE_", "CLOUD_RUN_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(users)}
        # Without the third opinion: it is asked about disputes, which only dbt finds.
        common = inherited | address | paces | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN, "ALPHA_VANTAGE_API_KEY": ""}
        if is_faulty:
            store = leave.enter_context(serving(bucket.Bucket()))
            before_store = leave.enter_context(serving(proxy.Proxy(store.address, is_faulty)))
            before_host = leave.enter_context(serving(proxy.Proxy(host, is_faulty)))
            keys = [
                bucket.key_file(where, folder / f"key-{number}.json")
                for number, where in enumerate((store.address, before_store.address))
            ]

        def place() -> Place:
            name = uuid.uuid4().hex[:12]
            own = common | {"BIGQUERY_DATASET": f"soak_{name}", "BIGQUERY_EMULATOR_HOST": host}
            if not is_faulty:
                own |= {"ARCHIVE_URI": str(folder / name)}
                return Place(own, own)
            own |= {"ARCHIVE_URI": f"gs://prices/{name}"}
            direct, faulty = ({"GOOGLE_SERVICE_ACCOUNT": key} for key in keys)
            return Place(own | faulty | {"BIGQUERY_EMULATOR_HOST": before_host.address}, own | direct)

        yield place


@dataclass(frozen=True, slots=True)
class State:
    """The contents of a place.

    Attributes:
        rows: how often each row occurs in raw, by raw table, without its provenance.
        wrong: faults, a sentence each.
    """

    rows: Mapping[str, Counter[str]]
    wrong: list[str]


def _state(place: Place) -> State:
    """Read raw and the archive, and delete them. Only one lane at a time, because it changes environment variables."""
    wrong: list[str] = []
    rows: dict[str, Counter[str]] = {}
    with (
        patch.dict(os.environ, place.direct, clear=True),
        open_warehouse(Settings.from_environment(os.environ)) as warehouse,
    ):
        archive = Archive(os.environ["ARCHIVE_URI"])
        archived = set(archive.paths())
        for path in archived:
            try:
                archive.read(path)
            except BatchRefused as refused:
                wrong.append(f"torn: {refused}")
        loaded: Counter[str] = Counter()
        for name, table in RAW_TABLES.items():
            if not table.source_id:
                continue
            columns = ", ".join(table.provider_columns.names)
            found = list(warehouse.query(f"select {columns}, _archive_path from `{warehouse.raw}.{name}`"))
            loaded.update({row["_archive_path"] for row in found})
            rows[name] = Counter(repr(tuple(row.values())[:-1]) for row in found)
        of_bars = {path for path in archived if RAW_TABLES[path.partition("/")[0]].source_id}
        wrong += [f"archived and never loaded: {path}" for path in sorted(of_bars - set(loaded))]
        wrong += [f"loaded and not archived: {path}" for path in sorted(set(loaded) - of_bars)]
        warehouse.client.delete_dataset(warehouse.raw, delete_contents=True, not_found_ok=True, timeout=60)
    shutil.rmtree(place.direct["ARCHIVE_URI"], ignore_errors=True)
    return State(rows, wrong)


def _differences(found: State, expected: State) -> list[str]:
    differences = list(found.wrong)
    for name, rows in expected.rows.items():
        # Extra instruments are allowed: a run that died before the day's dump was in raw asks for it again.
        missing = rows - found.rows[name]
        extra = Counter() if name == "kite_instruments" else found.rows[name] - rows
        if missing:
            differences.append(f"lost: {missing.total()} rows of {name}, such as {next(iter(missing))}")
        if extra:
            differences.append(f"twice: {extra.total()} rows of {name}, such as {next(iter(extra))}")
    return differences


def _healed(place: Place, broken: str | None) -> bool:
    """Run until a run succeeds; return whether one did."""
    return any(place.run(broken=broken).status() == 0 for _ in range(_HEALING_RUNS))


def kills(count: int, seed: int, broken: str | None) -> Outcome:
    """Kill runs at every write boundary, and at random moments; run again, and compare with an undisturbed run."""
    outcome = Outcome("kills", broken, seed)
    drawn = random.Random(seed)  # noqa: S311
    with _places() as place, ThreadPoolExecutor(_LANES) as lanes:
        clean = place()
        began = time.monotonic()
        run = clean.run()
        assert run.status() == 0, "an undisturbed run failed"
        length, boundaries = time.monotonic() - began, run.write_count()
        expected = _state(clean)
        assert not expected.wrong, expected.wrong
        # First each boundary once, up to the number of kills; then three random kills for each place.
        singles = drawn.sample(range(1, boundaries + 1), min(count, boundaries))
        plans: list[list[int | float]] = [[number] for number in singles]
        # Plan more than needed, because some kills come after the run has ended.
        while count > boundaries and sum(map(len, plans)) < count * 1.6:
            strikes = [drawn.choice((drawn.randint(1, boundaries), drawn.uniform(0.05, length))) for _ in range(3)]
            plans.append(list(strikes))

        def episode(strikes: list[int | float]) -> tuple[Place, Counter[str], bool]:
            here, told = place(), Counter[str]()
            for strike in strikes:
                if isinstance(strike, int):
                    status = here.run(kill_at=strike, broken=broken).status()
                    told["at a boundary" if status < 0 else "missed"] += 1
                else:
                    struck = here.run(broken=broken)
                    time.sleep(strike)
                    struck.process.kill()
                    told["at an instant" if struck.status() < 0 else "missed"] += 1
            return here, told, _healed(here, broken)

        for here, told, is_healed in lanes.map(episode, plans):
            outcome.told += told
            if not is_healed:
                outcome.findings.append("no run ended well after the kills")
            outcome.findings += _differences(_state(here), expected)
        outcome.told["boundaries of an undisturbed run"] = boundaries
        outcome.count = outcome.told["at a boundary"] + outcome.told["at an instant"]
    return outcome


def pairs(count: int, seed: int, broken: str | None) -> Outcome:
    """Start two runs at once, of which only one may write."""
    outcome = Outcome("pairs", broken, seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        for number in range(count):
            barrier, over = _processes.Barrier(2), _processes.Semaphore(0)
            archive_uri = f"{folder}/{number}"
            both = [
                _processes.Process(target=_one_of_two, args=(archive_uri, f"run-{side}", barrier, over, broken))
                for side in "ab"
            ]
            for process in both:
                process.start()
            for process in both:
                process.join(60)
            statuses = sorted(int(process.exitcode or 0) for process in both)
            outcome.told["one writer" if statuses == [10, 11] else f"ended {statuses}"] += 1
            if statuses != [10, 11]:
                outcome.findings.append(f"pair {number}: ended {statuses}; 10 is a writer, 11 one who was told")
        outcome.count = count
    return outcome


def _one_of_two(archive_uri: str, run_id: str, barrier: Any, over: Any, broken: str | None) -> None:
    archive = Archive(archive_uri)
    if broken == "overwriting":
        Archive.create = _overwrite  # type: ignore[method-assign]
    barrier.wait()
    lease = (
        contextlib.nullcontext()
        if broken == "no_lease"
        else held(archive, run_id, "run", lambda: datetime.now(EXCHANGE_ZONE))
    )
    try:
        with lease:
            archive.create(f"written/{run_id}", b"")
            # Wait as long as the other process may still come.
            over.acquire(timeout=1)
    except AlreadyRunning:
        over.release()
        os._exit(11)
    over.release()
    os._exit(10)


def _overwrite(self: Archive, path: str, body: bytes) -> bool:
    target = Path(self.uri) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(body)
    return True


_FAULTS = ("unavailable", "hung_up", "lost_answer", "unavailable_after_commit", "conflict_after_commit", "too_fast")


class Faults:
    """Fails the planned requests."""

    def __init__(self, seed: int) -> None:
        """Use ``seed`` for the random choices."""
        self._drawn = random.Random(seed)  # noqa: S311
        self._until_next: list[int] = []
        self._seen = 0
        # The proxies call this from several threads.
        self._lock = threading.Lock()
        self.struck: Counter[str] = Counter()

    def plan(self, count: int, requests: int) -> None:
        """Plan to fail ``count`` of the next ``requests``, at random."""
        self._until_next = sorted(self._drawn.sample(range(requests), count))
        self._seen = 0

    def __call__(self, asked: proxy.Asked, pass_on: Callable[[], proxy.Answered]) -> proxy.Answered | None:
        """Pass a request on, or fail it."""
        with self._lock:
            number, self._seen = self._seen, self._seen + 1
            is_struck = bool(self._until_next) and number >= self._until_next[0]
            if is_struck:
                self._until_next.pop(0)
                is_write = asked.method in ("POST", "PUT")
                kind = self._drawn.choice(_FAULTS if is_write else ("unavailable", "hung_up", "lost_answer"))
                self.struck[f"{kind} {asked.method}"] += 1
        if not is_struck:
            return pass_on()
        if kind == "hung_up":
            return None
        if kind == "lost_answer":
            pass_on()
            return None
        if kind == "too_fast":
            return _refusal(403, "rateLimitExceeded")
        if kind == "unavailable":
            return _refusal(503, "backendError")
        answer = pass_on()
        if kind == "unavailable_after_commit":
            return _refusal(503, "backendError")
        # 412 from the bucket, 409 from a job: as if the first request had succeeded, and its answer had been lost.
        return _refusal(412 if asked.method == "PUT" and "prices" in asked.path else 409, "duplicate", answer)


def _refusal(status: int, reason: str, answer: proxy.Answered | None = None) -> proxy.Answered:
    if answer is not None and answer.status >= 300:
        return answer
    error = {"error": {"code": status, "message": reason, "errors": [{"reason": reason, "message": reason}]}}
    return proxy.Answered(status, [("Content-Type", "application/json")], json.dumps(error).encode())


def faults(count: int, seed: int, broken: str | None) -> Outcome:
    """Let the bucket and the warehouse fail; run again until a run succeeds, and compare."""
    outcome = Outcome("faults", broken, seed)
    strike = Faults(seed)
    strike.plan(0, 0)
    with _places(is_faulty=strike) as place:
        clean = place()
        assert clean.run().status() == 0, "an undisturbed run failed"
        requests = strike._seen
        expected = _state(clean)
        assert not expected.wrong, expected.wrong
        while strike.struck.total() < count:
            here = place()
            strike.plan(4, requests)
            if not _healed(here, broken):
                outcome.findings.append("no run ended well after the faults")
            strike.plan(0, 0)
            outcome.findings += _differences(_state(here), expected)
        outcome.told += strike.struck
        outcome.told["requests of an undisturbed run"] = requests
        outcome.count = strike.struck.total()
    return outcome


def corrupt_payloads(count: int, seed: int, broken: str | None) -> Outcome:
    """Damage the providers' answers."""
    outcome = Outcome("payloads", broken, seed)
    payloads.run(count, seed, broken, outcome.told, outcome.findings)
    outcome.count = count
    return outcome


def corrupt_files(count: int, seed: int, broken: str | None) -> Outcome:
    """Damage the exchange's files."""
    outcome = Outcome("files", broken, seed)
    downloads.run(count, seed, broken, outcome.told, outcome.findings)
    outcome.count = count
    return outcome


EXERCISES: dict[str, tuple[Callable[[int, int, str | None], Outcome], int]] = {
    "kills": (kills, 500),
    "pairs": (pairs, 200),
    "faults": (faults, 300),
    "payloads": (corrupt_payloads, 10_000),
    "files": (corrupt_files, 10_000),
}


def exercise(name: str, count: int, seed: int, broken: str | None = None) -> Outcome:
    """Run one exercise."""
    began = time.monotonic()
    outcome = EXERCISES[name][0](count, seed, broken)
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> int:
    """Run the exercises, and a short run of each broken variant.

    Return 1 if an exercise found a fault, or if a broken variant was not detected.
    """
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("exercises", nargs="*", default=list(EXERCISES), help="(default: all)")
    parser.add_argument("--count", type=int, help="instead of the exercise's own")
    parser.add_argument("--seed", type=int, default=20241231)
    options = parser.parse_args()
    is_well = True
    for name in options.exercises:
        count = options.count or EXERCISES[name][1]
        for broken in (None, *BROKEN[name]):
            outcome = exercise(name, count if broken is None else max(count // 10, 30), options.seed, broken)
            sys.stdout.write(json.dumps(outcome.as_json()) + "\n")
            sys.stdout.flush()
            is_well = is_well and bool(outcome.findings) == bool(broken) and (bool(broken) or outcome.count >= count)
    return 0 if is_well else 1


# Do not start this with ``-m``: each child would run this module again as its main module.
_processes.set_forkserver_preload([__name__, "extract.sources.kite", "extract.sources.yahoo"])
