"""One writer at a time: a lease that is kept as records in the archive, each created once and never changed.

The archive's objects can be neither replaced nor deleted, so a lease is a numbered row of records, of which the last
one counts. Whoever wants to change its state creates the next number, and the archive lets only one do that.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import structlog

from extract.archive import Archive
from extract.errors import AlreadyRunning, PipelineError
from extract.seeds import exchange_date
from extract.sources import Clock

_log = structlog.get_logger()

# A holder that cannot renew for so long has lost the lease. It renews ten times as often, and the store is tried for
# two minutes at most (``extract.archive``).
EXPIRY = timedelta(minutes=5)
RENEWAL_SECONDS = 30.0

# A backfill of everything takes six minutes at Kite's limit; the job's own limit is an hour.
LONGEST_WAIT = timedelta(minutes=45)

# A look at the lease lists one folder of so many records; a day makes some thirty.
_RECORDS_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """The state of the lease after one change of it.

    Attributes:
        state: ``held`` or ``released``.
        run_id: who.
        command: the holder's command, with what it is about.
        date: the exchange's date on which it began.
        expires_at: until when the record counts, ISO 8601 in UTC.
        execution: the Cloud Run execution, of which one attempt follows the other; None elsewhere.
        host: where it runs.
        pid: its process there.
    """

    state: str
    run_id: str
    command: str
    date: str
    expires_at: str
    execution: str | None
    host: str
    pid: int

    def is_held(self, now: datetime, execution: str | None) -> bool:
        """Whether its holder may still write. Of a holder that is known to be dead, nobody waits for the expiry."""
        if self.state != "held" or datetime.fromisoformat(self.expires_at) <= now:
            return False
        if self.execution or execution:
            # Cloud Run starts a task's next attempt when the last one is dead.
            return self.execution != execution
        return self.host != socket.gethostname() or _is_alive(self.pid)

    def is_seen_alive(self) -> bool:
        """Whether its holder is known to live: a process of this machine, of which ``is_held`` has looked."""
        return not self.execution and self.host == socket.gethostname()


@contextmanager
def held(
    archive: Archive,
    run_id: str,
    command: str,
    clock: Clock,
    execution: str | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[None]:
    """Hold the lease, and renew it, until the block ends.

    Where another command has it, it is waited for: both would ask the providers, whose limits are for one, and dbt
    builds one table twice. A process that finds that it has lost the lease, or could not renew it until it expired,
    interrupts itself.

    Args:
        archive: keeps the records, under ``leases/``.
        run_id: of this run.
        command: of this run, with what it is about; two of the same ``run`` on one date are one too many.
        clock: the time, with zone.
        execution: the Cloud Run execution that this is an attempt of.
        wait: waits for so many seconds.

    Raises:
        AlreadyRunning: this is ``run``, and what has the lease does the same since the same date, and lives.
        PipelineError: the archive failed, or the lease was not free in ``LONGEST_WAIT``.
    """
    lease = _Lease(archive, run_id, command, clock, execution)
    deadline = clock() + LONGEST_WAIT
    seen: dict[str, str] = {}
    while (holder := lease.take()) is not None:
        is_same = command.startswith("run") and (holder.command, holder.date) == (command, lease.date)
        # Of a holder that was killed elsewhere the record stands until it expires: one that lives renews it.
        if is_same and (holder.is_seen_alive() or seen.get(holder.run_id, holder.expires_at) != holder.expires_at):
            raise AlreadyRunning(holder.run_id)
        seen[holder.run_id] = holder.expires_at
        if clock() > deadline:
            raise PipelineError(
                f"{holder.run_id} has been writing for {LONGEST_WAIT}; see what it does, then run this again"
            )
        _log.warning("waiting for another writer", holder=holder.run_id, expires_at=holder.expires_at)
        wait(5.0)
    is_over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, is_over), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        is_over.set()
        renewing.join()
        try:
            lease.append("released")
        except PipelineError as error:
            _log.warning("lease not released; it expires", seconds=EXPIRY.total_seconds(), reason=str(error))


def holder(archive: Archive, now: datetime) -> Record | None:
    """Whoever has the lease, or None.

    Raises:
        PipelineError: the archive failed.
    """
    _, last = _last_record(archive)
    return last if last is not None and last.is_held(now, None) else None


def _renew(lease: "_Lease", is_over: threading.Event) -> None:
    while not is_over.wait(RENEWAL_SECONDS):
        try:
            is_ours = lease.append("held")
        except PipelineError as error:
            _log.warning("lease not renewed", reason=str(error))
            is_ours = not lease.is_expired()
        if not is_ours:
            _log.error("lease lost; stopping, so that there is one writer")
            # To the process, not to this thread: the main one may be waiting in a call.
            os.kill(os.getpid(), signal.SIGTERM)
            return


class _Lease:
    """The lease as one process sees it.

    Attributes:
        date: the exchange's date on which it came for it.
    """

    def __init__(self, archive: Archive, run_id: str, command: str, clock: Clock, execution: str | None) -> None:
        self._archive = archive
        self._clock = clock
        self._execution = execution
        self._number = 0
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
        )

    def take(self) -> Record | None:
        """Take the lease; return None, or the record of whoever has it."""
        while True:
            self._number, last = _last_record(self._archive)
            if last is not None and last.is_held(self._clock().astimezone(UTC), self._execution):
                return last
            if self.append("held"):
                return None
            # Another one was faster by a moment, and is what the next look finds.

    def is_expired(self) -> bool:
        """Whether what we wrote last counts no more."""
        return datetime.fromisoformat(self._ours.expires_at) <= self._clock().astimezone(UTC)

    def append(self, state: str) -> bool:
        """Write the next record; False where that is another one's by now."""
        expires_at = (self._clock().astimezone(UTC) + EXPIRY).isoformat()
        record = replace(self._ours, state=state, expires_at=expires_at)
        while not self._archive.create(_path(self._number + 1), json.dumps(asdict(record)).encode()):
            there = _read(self._archive, self._number + 1)
            if there.run_id != record.run_id:
                return False
            # Ours: it was written, and its answer lost.
            self._number += 1
            if there.state == state:
                self._ours = there
                return True
        self._number += 1
        self._ours = record
        return True


def _last_record(archive: Archive) -> tuple[int, Record | None]:
    for folder in sorted(archive.folders("leases/"), reverse=True):
        names = [PurePosixPath(path).stem for path in archive.listed(f"{folder}/")]
        numbers = [int(name) for name in names if name.isdecimal()]
        # On a disk, a folder is there a moment before its first record.
        if numbers:
            return max(numbers), _read(archive, max(numbers))
    return 0, None


def _read(archive: Archive, number: int) -> Record:
    told = json.loads(archive.body(_path(number)))
    # A newer release may tell more.
    return Record(**{name: told[name] for name in Record.__slots__})


def _path(number: int) -> str:
    return f"leases/{number // _RECORDS_PER_FOLDER:06d}/{number:09d}.json"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
