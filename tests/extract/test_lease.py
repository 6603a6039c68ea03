"""One writer at a time, by records that the archive lets nobody change."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extract.errors import AlreadyRunning, PipelineError
from extract.landing import lease, lease_record
from extract.landing.archive import Archive
from extract.landing.lease import held
from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline

NOON = datetime(2024, 12, 18, 12, 0, tzinfo=UTC)


class Elapsing:
    """A clock that stands still, and goes on by what is waited for."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(str(tmp_path / "archive"))


@pytest.fixture
def clock() -> Elapsing:
    return Elapsing()


def test_a_second_run_of_a_date_is_told_who_is_doing_it(archive: Archive, clock: Elapsing) -> None:
    with (
        held(archive, "run-a", "run", clock),
        pytest.raises(AlreadyRunning, match="run-a"),
        held(archive, "run-b", "run", clock),
    ):
        pytest.fail("two writers")
    with held(archive, "run-c", "run", clock):
        pass


def test_another_command_waits_until_the_lease_is_free(archive: Archive, clock: Elapsing) -> None:
    waits: list[float] = []
    with held(archive, "backfill-a", "backfill", clock) as _, ThreadPoolExecutor() as pool:
        is_waiting = threading.Event()

        def wait(seconds: float) -> None:
            waits.append(seconds)
            is_waiting.set()
            threading.Event().wait(0.05)

        def run() -> bool:
            with held(archive, "run-b", "run", clock, wait=wait):
                return True

        running = pool.submit(run)
        assert is_waiting.wait(10)
        assert not running.done()
        # Released here, before the pool waits for its thread.
        _leave(archive)
        assert running.result(timeout=10)
    assert waits


def _leave(archive: Archive) -> None:
    """Release the lease as its holder would."""
    last = max(archive.listed("leases/"))
    number = int(Path(last).stem)
    record = archive.body(last).replace(b'"held"', b'"released"')
    assert archive.create(lease_record.record_path(number + 1), record)


def test_who_waits_for_too_long_fails(archive: Archive, clock: Elapsing) -> None:
    # A holder on another machine, which renews for ever.
    elsewhere = _take_elsewhere(archive, clock)

    def wait(seconds: float) -> None:
        clock.wait(seconds)
        assert elsewhere.append("held")

    with (
        pytest.raises(PipelineError, match="elsewhere has been writing for 0:45:00"),
        held(archive, "build-b", "build", clock, wait=wait),
    ):
        pytest.fail("two writers")


def _take_elsewhere(
    archive: Archive, clock: Callable[[], datetime], command: str = "backfill", execution: str | None = None
) -> lease._Lease:
    """Take the lease on another machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        taken = lease._Lease(archive, "elsewhere", command, clock, execution)
        assert taken.take() is None
    return taken


def test_a_holder_that_does_not_renew_loses_the_lease_when_it_expires(archive: Archive, clock: Elapsing) -> None:
    _take_elsewhere(archive, clock)
    with held(archive, "run-b", "run", clock, wait=clock.wait):
        waited = clock.now - NOON
    assert lease.EXPIRY <= waited <= lease.EXPIRY + timedelta(seconds=5)


def test_midnight_changes_nothing(archive: Archive, clock: Elapsing) -> None:
    clock.now = datetime(2024, 12, 18, 23, 59, 30, tzinfo=UTC)
    _take_elsewhere(archive, clock)
    with held(archive, "run-b", "run full ALL", clock, wait=clock.wait):
        assert clock.now >= datetime(2024, 12, 18, 23, 59, 30, tzinfo=UTC) + lease.EXPIRY


def test_folders_stay_small_and_the_numbers_go_on(
    archive: Archive, clock: Elapsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_record, "_RECORDS_PER_FOLDER", 3)
    for number in range(8):
        with held(archive, f"run-{number}", "run", clock):
            pass
    folders = archive.folders("leases/")
    assert len(folders) == 6
    assert max(len(list(archive.listed(f"{folder}/"))) for folder in folders) == 3


def test_a_folder_without_a_record_yet_is_passed_over(archive: Archive, clock: Elapsing, tmp_path: Path) -> None:
    (tmp_path / "archive" / "leases" / "000000").mkdir(parents=True)
    with held(archive, "run-a", "run", clock):
        (tmp_path / "archive" / "leases" / "000001").mkdir()
        with pytest.raises(AlreadyRunning, match="run-a"):
            held(archive, "run-b", "run", clock).__enter__()


def test_the_next_attempt_of_an_execution_takes_over_at_once(archive: Archive, clock: Elapsing) -> None:
    first = lease._Lease(archive, "run-a", "run", clock, "execution-7")
    assert first.take() is None
    with held(archive, "run-b", "run", clock, "execution-7"):
        # The first one, were it not dead after all, would notice.
        assert not first.append("held")


def test_another_execution_is_told_once_the_first_is_seen_to_live(archive: Archive, clock: Elapsing) -> None:
    first = _take_elsewhere(archive, clock, "run", "execution-7")

    def wait(seconds: float) -> None:
        clock.wait(seconds)
        if clock.now - NOON > timedelta(seconds=lease.RENEWAL_SECONDS):
            assert first.append("held")

    with (
        pytest.raises(AlreadyRunning, match="elsewhere"),
        held(archive, "run-x", "run", clock, "execution-8", wait=wait),
    ):
        pytest.fail("two writers")
    assert clock.now - NOON < timedelta(minutes=1)


def test_another_execution_takes_over_from_one_that_was_killed(archive: Archive, clock: Elapsing) -> None:
    _take_elsewhere(archive, clock, "run", "execution-7")
    with held(archive, "run-x", "run", clock, "execution-8", wait=clock.wait):
        assert lease.EXPIRY <= clock.now - NOON <= lease.EXPIRY + timedelta(seconds=5)


def test_a_run_about_something_else_waits(archive: Archive, clock: Elapsing) -> None:
    _take_elsewhere(archive, clock, command="run quotes ALL")
    with held(archive, "run-b", "run full ALL", clock, wait=clock.wait):
        assert clock.now > NOON


def test_of_many_who_start_together_one_writes(archive: Archive, clock: Elapsing) -> None:
    leases = [lease._Lease(archive, f"run-{number}", "run", clock, None) for number in range(16)]
    together = threading.Barrier(len(leases))

    def take(one: lease._Lease) -> bool:
        together.wait()
        return one.take() is None

    with ThreadPoolExecutor(len(leases)) as pool:
        assert sum(pool.map(take, leases)) == 1


@pytest.mark.parametrize("is_raised", [False, True])
def test_a_lost_answer_to_a_write_that_was_made_is_no_refusal(
    archive: Archive, clock: Elapsing, monkeypatch: pytest.MonkeyPatch, is_raised: bool
) -> None:
    create = Archive.create

    def written_and_not_told(self: Archive, path: str, body: bytes) -> bool:
        create(self, path, body)
        if is_raised:
            raise PipelineError("no answer")
        return False

    ours = lease._Lease(archive, "run-a", "run", clock, None)
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "create", written_and_not_told)
        if is_raised:
            with pytest.raises(PipelineError):
                ours.take()
        else:
            assert ours.take() is None
    assert ours.append("held")
    assert ours.append("released")


HOLDER = """
import sys, time
from datetime import UTC, datetime
from extract.landing import lease, lease_record
from extract.landing.archive import Archive

lease.RENEWAL_SECONDS = 0.1
with lease.held(Archive(sys.argv[1]), "run-dead", "run full ALL", lambda: datetime.now(UTC)):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path / "archive")]
    with subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_killed_holder_is_not_waited_for(archive: Archive, holder: subprocess.Popen[str]) -> None:
    def clock() -> datetime:
        return datetime.now(UTC)

    with pytest.raises(AlreadyRunning, match="run-dead"), held(archive, "run-b", "run full ALL", clock):
        pytest.fail("two writers")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with held(archive, "run-b", "run", clock):
        pass


def test_a_process_is_alive_until_its_last_thread_has_ended() -> None:
    """Another thread of a process that ends may still be in a write when the first one is gone."""
    ending = """
import ctypes, os, sys, threading

def last() -> None:
    sys.stdin.readline()
    os._exit(0)

threading.Thread(target=last).start()
print("begun", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""
    with subprocess.Popen(
        [sys.executable, "-c", ending], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        stat = Path(f"/proc/{process.pid}/stat")
        deadline = time.monotonic() + 20
        while ") Z " not in stat.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ") Z " in stat.read_text()
        assert lease_record.process_began(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        while lease_record.process_began(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ") Z " in stat.read_text()
        assert lease_record.process_began(process.pid) is None


def test_a_holder_that_has_lost_the_lease_stops_itself(archive: Archive, holder: subprocess.Popen[str]) -> None:
    record = archive.body(max(archive.listed("leases/"))).replace(b"run-dead", b"run-b")
    number = int(Path(max(archive.listed("leases/"))).stem)
    while not archive.create(lease_record.record_path(number := number + 1), record):
        pass
    assert holder.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize(
    "error", [PipelineError("no answer"), FileNotFoundError("404"), ValueError("torn"), SystemExit("a dead thread")]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_holder_that_cannot_renew_stops_before_another_may_begin(
    archive: Archive, clock: Elapsing, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    elapsed = 0.0
    ended: list[float] = []

    def failing(_: Archive, __: str, ___: bytes) -> bool:
        nonlocal elapsed
        elapsed += 20
        raise error

    def end(_: int, number: int) -> None:
        assert number == signal.SIGTERM
        ended.append(elapsed)

    def look(_: int) -> float:
        nonlocal elapsed
        elapsed += 1
        return elapsed

    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.01)
    monkeypatch.setattr(time, "clock_gettime", look)
    monkeypatch.setattr(os, "kill", end)
    with held(archive, "run-a", "run", clock) as is_lost, monkeypatch.context() as patch:
        patch.setattr(Archive, "create", failing)
        assert is_lost.wait(10)
    assert 0 < ended[0] < lease.EXPIRY.total_seconds()


def test_a_holder_that_does_not_stop_is_ended(
    archive: Archive, clock: Elapsing, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(os, "kill", lambda *_: None)
    monkeypatch.setattr(os, "_exit", lambda status: ended.set() if status == 1 else None)
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.01)
    monkeypatch.setattr(lease, "_STOPPING", timedelta(seconds=0.1))
    with held(archive, "run-a", "run", clock) as is_lost:
        is_lost.set()
        assert ended.wait(10)


@pytest.mark.parametrize("hours", [-20, 20])
def test_a_clock_that_is_wrong_makes_no_second_writer(archive: Archive, clock: Elapsing, hours: int) -> None:
    elsewhere = _take_elsewhere(archive, lambda: NOON + timedelta(hours=hours))
    renewals = 0

    def wait(_: float) -> None:
        nonlocal renewals
        renewals += 1
        if renewals == 100:
            raise TimeoutError
        if renewals % 50 == 0:
            assert elsewhere.append("held")

    with pytest.raises(TimeoutError), held(archive, "build-b", "build", clock, wait=wait):
        pytest.fail("two writers")


def _write(archive: Archive, number: int, **told: object) -> None:
    whole: dict[str, object] = {"state": "held", "run_id": "run-dead", "command": "run", "date": "2024-12-18"}
    whole |= {"expires_at": "2024-12-18T12:05:00+00:00", "execution": None, "host": "", "pid": os.getpid()}
    assert archive.create(lease_record.record_path(number), json.dumps(whole | told).encode())


def test_a_number_that_another_process_has_by_now_is_no_living_holder(archive: Archive, clock: Elapsing) -> None:
    space = lease_record.process_space()
    _write(archive, 1, space=space, began="1")
    with held(archive, "run-b", "run", clock, wait=lambda _: pytest.fail("it waits for its own dead run")):
        pass
    # The same number in another container may be a living process: it is waited for, and is no reason to do nothing.
    _write(archive, 4, space=f"{space}7", began="1")
    with held(archive, "run-b", "run", clock, wait=clock.wait):
        assert clock.now - NOON >= lease.EXPIRY


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b'{"state": "he',
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"state": "held"}',
        b'{"state": "held", "run_id": 1}',
        b'{"state": "held", "expires_at": "2026-11-28T10:00:00"}',
        b'{"state": "held", "expires_at": "9999-12-31T23:59:59-14:00"}',
        b'{"state": "held", "expires_at": "0001-01-01T00:00:00+14:00"}',
    ],
)
def test_a_record_that_cannot_be_read_is_told_with_what_to_type(archive: Archive, clock: Elapsing, torn: bytes) -> None:
    with held(archive, "run-a", "run", clock):
        pass
    archive.create(lease_record.record_path(3), torn)
    for look in (lambda: held(archive, "run-b", "run", clock).__enter__(), lambda: lease.holder(archive, NOON)):
        with pytest.raises(PipelineError, match=r"000000003\.json in the archive does not tell who writes") as told:
            look()
    subprocess.run(str(told.value).partition("type: ")[2], shell=True, check=True)  # noqa: S602 As a person would.
    with held(archive, "run-b", "run", clock):
        pass


def test_where_nothing_can_be_deleted_a_person_writes_the_next_record(archive: Archive, clock: Elapsing) -> None:
    archive.create(lease_record.record_path(1), b"torn")
    archive.create(lease_record.record_path(2), b'{"state": "released"}\n')
    with held(archive, "run-a", "run", clock):
        pass


def test_what_somebody_else_put_beside_the_records_is_none(archive: Archive, clock: Elapsing) -> None:
    for path in ("leases/zz/000000005.json", "leases/000000/7.json", "leases/000000/notes.txt", "leases/readme.md"):
        archive.create(path, b"?")
    for run_id in ("run-a", "run-b"):
        with held(archive, run_id, "run", clock):
            pass


def test_the_command_ends_0_where_another_is_doing_it(
    archive: Archive, tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    assert holder.poll() is None
    pipeline = Pipeline(tmp_path / "archive", tmp_path / "warehouse")
    done = pipeline.command("run")
    assert (done.returncode, done.stdout) == (0, "Nothing to do: run-dead is already doing it.\n")
    assert list(archive.paths()) == []
