"""One writer at a time: a lease that is kept as records in the archive, each created once and never changed.

The archive's objects can be neither replaced nor deleted, so a lease is a numbered row of records, of which the last
one counts. Whoever wants to change its state creates the next number, and the archive lets only one do that.
"""

import json
import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import structlog

from extract.errors import FAILED, AlreadyRunning, PipelineError
from extract.landing.archive import Archive
from extract.seeds import Clock, exchange_date

_log = structlog.get_logger()

# A holder whose record stands still for so long has lost the lease. Whoever waits measures that by what it has waited,
# and the holder by its own time since it last renewed: no clock of one machine is compared with another's. The holder
# renews ten times as often, and the store is tried for two minutes at most (``extract.landing.archive``).
EXPIRY = timedelta(minutes=5)
RENEWAL_SECONDS = 30.0

# A holder that cannot renew stops so long before the others may begin, and is ended by force when they may.
_STOPPING = timedelta(minutes=1)

LOST = (
    "this command could not show in the archive that it is at work, and stopped, so that there is one writer;"
    " `trading-data diagnose` says what is wrong, then run it again"
)

_POLL_SECONDS = 5.0
_LOOK_SECONDS = 1.0

# Goes on while the machine sleeps, and is never set; where there is none, the next best.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# A backfill of everything takes six minutes at Kite's limit; the job's own limit is an hour.
LONGEST_WAIT = timedelta(minutes=45)

# A look at the lease lists one folder of so many records; a day makes some thirty.
_RECORDS_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """The state of the lease after one change of it.

    Attributes:
        state: ``held`` or ``released``. A record that says nothing else is one that a person has written.
        run_id: who.
        command: the holder's command, with what it is about.
        date: the exchange's date on which it began.
        expires_at: until when the record counts by the holder's clock, ISO 8601 in UTC; for people to read.
        execution: the Cloud Run execution, of which one attempt follows the other; None elsewhere.
        host: where it runs.
        pid: its process there.
        space: the boot and the process namespace in which ``pid`` is one process; None where that cannot be told.
        began: when that process began, in ticks since the boot: a number is given to another process later.
        since: when its command came for the lease, ISO 8601 in UTC; for people to read.
    """

    state: str
    run_id: str = "somebody"
    command: str = ""
    date: str = ""
    expires_at: str = ""
    execution: str | None = None
    host: str = ""
    pid: int = 0
    space: str | None = None
    began: str | None = None
    since: str = ""

    @classmethod
    def parsed(cls, body: bytes) -> "Record":
        """Read a record; a newer release may tell more, and an older one less.

        Raises:
            ValueError: it is none.
        """
        told = json.loads(body)
        if not isinstance(told, dict) or told.get("state") not in ("held", "released"):
            raise ValueError("it has no state")
        record = cls(**{field.name: told[field.name] for field in fields(cls) if field.name in told})
        texts = (record.run_id, record.command, record.date, record.expires_at, record.since)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its holder is no text")
        if record.state == "held":
            datetime.fromisoformat(record.expires_at).astimezone(UTC)
        return record

    def may_write(self, execution: str | None) -> bool:
        """Whether its holder may still be writing: it has not released the lease, and is not known to be dead."""
        if self.state != "held":
            return False
        if self.execution or execution:
            # Cloud Run starts a task's next attempt when the last one is dead.
            return self.execution != execution
        return self._is_alive() is not False

    def is_seen_alive(self) -> bool:
        """Whether its holder is known to live: a process of this machine."""
        return not self.execution and self._is_alive() is True

    def _is_alive(self) -> bool | None:
        """Whether the process lives; None where that cannot be seen from here."""
        if self.space is None or self.space != _process_space():
            return None
        return self.began == _began(self.pid)


@contextmanager
def held(
    archive: Archive,
    run_id: str,
    command: str,
    clock: Clock,
    execution: str | None = None,
    wait: Callable[[float], object] = time.sleep,
    tell: Callable[[Record], object] = lambda _: None,
) -> Iterator[threading.Event]:
    """Hold the lease, and renew it, until the block ends.

    Where another command has it, it is waited for: both would ask the providers, whose limits are for one, and dbt
    builds one table twice. A process that finds that it has lost the lease, or could not renew it for too long,
    interrupts itself, and is ended a minute later where it goes on. What is yielded is set then.

    Args:
        archive: keeps the records, under ``leases/``.
        run_id: of this run.
        command: of this run, with what it is about; two of the same ``run`` on one date are one too many.
        clock: the time, with zone.
        execution: the Cloud Run execution that this is an attempt of.
        wait: waits for so many seconds.
        tell: is told of each other command that is waited for, once.

    Raises:
        AlreadyRunning: this is ``run``, and what has the lease does the same since the same date, and lives.
        PipelineError: the archive failed, or the lease was not free in ``LONGEST_WAIT``.
    """
    lease = _Lease(archive, run_id, command, clock, execution)
    waited = since = 0.0
    seen: tuple[str, int] | None = None
    told: str | None = None
    while (holder := lease.take()) is not None:
        # Of a holder that was killed elsewhere the record stands still: one that lives renews it.
        is_renewed = seen is not None and seen[0] == holder.run_id and seen[1] != lease.number
        if seen != (holder.run_id, lease.number):
            seen, since = (holder.run_id, lease.number), waited
        is_same = command.startswith("run") and (holder.command, holder.date) == (command, lease.date)
        if is_same and (is_renewed or holder.is_seen_alive()):
            raise AlreadyRunning(holder.run_id)
        if waited - since >= EXPIRY.total_seconds() and lease.append("held"):
            break
        if waited >= LONGEST_WAIT.total_seconds():
            raise PipelineError(
                f"{holder.run_id} has been writing for {LONGEST_WAIT}; see what it does, then run this again"
            )
        if told != holder.run_id:
            told = holder.run_id
            _log.info("waiting for another writer", holder=holder.run_id, expires_at=holder.expires_at)
            tell(holder)
        wait(_POLL_SECONDS)
        waited += _POLL_SECONDS
    is_over = threading.Event()
    keepers = [threading.Thread(target=keep, args=(lease, is_over), daemon=True) for keep in (_renew, _watch)]
    for keeper in keepers:
        keeper.start()
    try:
        yield lease.is_lost
    finally:
        is_over.set()
        for keeper in keepers:
            keeper.join()
        try:
            lease.append("released")
        except Exception as error:
            _log.warning("lease not released; it expires", seconds=EXPIRY.total_seconds(), reason=str(error))


def holder(archive: Archive, now: datetime) -> Record | None:
    """Whoever has the lease, as far as one look can tell, or None.

    Raises:
        PipelineError: the archive failed, or the lease cannot be read.
    """
    _, last = _last_record(archive)
    if last is None or not last.may_write(None) or datetime.fromisoformat(last.expires_at) <= now:
        return None
    return last


def _renew(lease: "_Lease", is_over: threading.Event) -> None:
    """Renew until the command is over, or another one has the lease. ``_watch`` looks whether this does its work."""
    while not is_over.wait(RENEWAL_SECONDS):
        try:
            if not lease.append("held"):
                lease.is_lost.set()
                return
        except Exception as error:
            _log.warning("lease not renewed", reason=str(error))


def _watch(lease: "_Lease", is_over: threading.Event) -> None:
    """Stop the process when its lease is lost, or has not been renewed for too long, whatever the reason."""
    while not is_over.wait(min(_LOOK_SECONDS, RENEWAL_SECONDS)):
        if lease.is_lost.is_set() or lease.unrenewed() >= EXPIRY - _STOPPING:
            lease.is_lost.set()
            break
    else:
        return
    _log.error("lease lost; stopping, so that there is one writer")
    # To the process, not to this thread: the main one may be waiting in a call.
    os.kill(os.getpid(), signal.SIGTERM)
    if not is_over.wait(_STOPPING.total_seconds()):
        _log.error("it did not stop in time; ending it")
        os._exit(FAILED)


class _Lease:
    """The lease as one process sees it.

    Attributes:
        date: the exchange's date on which it came for it.
        number: of the last record that it knows of.
        is_lost: set when another one has it, or may have it soon.
    """

    def __init__(self, archive: Archive, run_id: str, command: str, clock: Clock, execution: str | None) -> None:
        self._archive = archive
        self._clock = clock
        self._execution = execution
        self.number = 0
        self._renewed_at = time.clock_gettime(_ELAPSED)
        self.is_lost = threading.Event()
        self.date = exchange_date(clock()).isoformat()
        self._ours = Record(
            state="held",
            run_id=run_id,
            command=command,
            date=self.date,
            expires_at=clock().astimezone(UTC).isoformat(),
            execution=execution,
            host=socket.gethostname(),
            pid=os.getpid(),
            space=_process_space(),
            began=_began(os.getpid()),
            since=clock().astimezone(UTC).isoformat(timespec="seconds"),
        )

    def take(self) -> Record | None:
        """Take the lease; return None, or the record of whoever has it."""
        while True:
            self.number, last = _last_record(self._archive)
            if last is not None and last.may_write(self._execution):
                return last
            if self.append("held"):
                return None
            # Another one was faster by a moment, and is what the next look finds.

    def unrenewed(self) -> timedelta:
        """How long ago what we wrote last was begun."""
        return timedelta(seconds=time.clock_gettime(_ELAPSED) - self._renewed_at)

    def append(self, state: str) -> bool:
        """Write the next record; False where that is another one's by now."""
        began = time.clock_gettime(_ELAPSED)
        expires_at = (self._clock().astimezone(UTC) + EXPIRY).isoformat()
        record = replace(self._ours, state=state, expires_at=expires_at)
        while not self._archive.create(_path(self.number + 1), json.dumps(asdict(record)).encode()):
            there = _read(self._archive, self.number + 1)
            if there.run_id != record.run_id:
                return False
            # Ours: it was written, and its answer lost.
            self.number += 1
            if there.state == state:
                self._ours = there
                self._renewed_at = began
                return True
        self.number += 1
        self._ours = record
        self._renewed_at = began
        return True


def _last_record(archive: Archive) -> tuple[int, Record | None]:
    for folder in sorted(archive.folders("leases/"), reverse=True):
        names = {path: PurePosixPath(path).stem for path in archive.listed(f"{folder}/")}
        # What somebody else has put here is no record.
        numbers = [int(name) for path, name in names.items() if name.isdecimal() and path == _path(int(name))]
        # On a disk, a folder is there a moment before its first record.
        if numbers:
            return max(numbers), _read(archive, max(numbers))
    return 0, None


def _read(archive: Archive, number: int) -> Record:
    try:
        return Record.parsed(archive.body(_path(number)))
    except (ValueError, TypeError) as error:
        if archive.folder:
            remedy = f"rm {shlex.quote(str(archive.folder / _path(number)))}"
        else:
            # Where nothing can be deleted, the next record counts.
            following = f"{archive.uri.rstrip('/')}/{_path(number + 1)}"
            remedy = f"""echo '{{"state": "released"}}' | gcloud storage cp - {shlex.quote(following)}"""
        raise PipelineError(
            f"{_path(number)} in the archive does not tell who writes ({error}); see that no other command is at work,"
            f" then type: {remedy}"
        ) from error


def _path(number: int) -> str:
    return f"leases/{number // _RECORDS_PER_FOLDER:06d}/{number:09d}.json"


def _process_space() -> str | None:
    """Where a number means one process: this boot of this machine, in this container; None where that is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the boot; None where there is none, or none that still runs."""
    try:
        # The name of the process, in brackets, may hold anything.
        state, *others = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else others[18]
