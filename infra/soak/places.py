"""The places that runs write to: processes that die at a write boundary, what they leave, and how it differs."""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from extract.errors import PipelineError
from extract.fetching import extraction as extraction_module
from extract.fetching.run import Job, daily_plan, fetch
from extract.fetching.shortfalls import shortfalls
from extract.landing.archive import Archive
from extract.landing.batch import BatchRefused
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

SYMBOLS = ("ABB", "M&M", "TCS")
FIRST, LAST = date(2024, 10, 1), date(2024, 12, 31)
_EVENING = datetime(2024, 12, 31, 18, 30, tzinfo=EXCHANGE_ZONE)
FAST = {"kite_candles": 1000, "kite_quotes": 1000, "kite_others": 1000, "yahoo": 1000, "alpha_vantage": 1000}
_HEALING_RUNS = 8

# Children are forked from a process without threads that has imported everything: a start takes 50 ms instead of 3 s.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["infra.soak.exercises", "extract.sources.kite", "extract.sources.yahoo"])


@dataclass(frozen=True, slots=True)
class Place:
    """The place that one episode writes to, with the environment variables for a run."""

    environment: Mapping[str, str]
    # The variables that bypass the proxies, to examine the results.
    direct: Mapping[str, str]

    def run(self, kill_at: int = 0, broken: str | None = None) -> "Run":
        """Start a run; see ``_child``."""
        told, tell = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=_child, args=(dict(self.environment), kill_at, broken, tell), daemon=True)
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


def job_at(moment: datetime, settings: Settings, archive: Archive, warehouse: Warehouse) -> Job:
    """A run at this moment, which does not wait between its attempts."""
    return Job(
        settings=settings,
        instruments=listed_instruments(SYMBOLS),
        due=last_closed_session(moment),
        run_id=new_run_id("soak", moment),
        archive=archive,
        warehouse=lambda: warehouse,
        clock=lambda: moment,
        progress=lambda *_: None,
        first_wait=0.01,
    )


def _run_once(settings: Settings) -> int:
    with open_warehouse(settings) as warehouse:
        warehouse.create_raw()
        archive = Archive(settings.archive_uri)
        job = job_at(_EVENING, settings, archive, warehouse)
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


def run_environment(address: Mapping[str, str]) -> dict[str, str]:
    """The variables of a run against simulated providers, with nothing of the user's; where it writes is to be added.

    Args:
        address: the variables that ``providers`` has yielded.
    """
    users = ("BIGQUERY_", "ARCHIVE_", "WAREHOUSE_", "KITE_", "YAHOO_", "ALPHA_VANTAGE_", "CLOUD_RUN_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(users)}
    paces = {"KITE_REQUESTS_PER_SECOND": "1000", "YAHOO_REQUESTS_PER_SECOND": "1000"}
    # Without the third opinion: it is asked about disputes, which only dbt finds.
    return inherited | dict(address) | paces | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN, "ALPHA_VANTAGE_API_KEY": ""}


@contextmanager
def places(*, is_faulty: proxy.Between | None = None) -> Iterator[Callable[[], Place]]:
    """Start providers and a warehouse; yield a function that creates a place on them with datasets of its own."""
    with ExitStack() as leave:
        folder = Path(leave.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        address = leave.enter_context(
            providers("--first", str(FIRST), "--last", str(LAST), "--symbols", ",".join(SYMBOLS))
        )
        simulate(address, now=_EVENING.isoformat(), limits=FAST)
        host = leave.enter_context(running(folder / "warehouse"))
        common = run_environment(address)
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


def state_of(place: Place) -> State:
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
                wrong.append(f"damaged: {refused}")
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


def differences_between(found: State, expected: State) -> list[str]:
    """What a place has lost, holds twice or holds wrongly, a sentence each."""
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


def healed(place: Place, broken: str | None) -> bool:
    """Run until a run succeeds; return whether one did."""
    return any(place.run(broken=broken).status() == 0 for _ in range(_HEALING_RUNS))
