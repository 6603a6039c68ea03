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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import structlog

from extract.archive import Archive
from extract.errors import AlreadyRunning, PipelineError
from extract.seeds import exchange_date
from extract.sources import Clock

_log = structlog.get_logger()

# A holder that cannot renew for so long has lost the lease; it renews four times as often.
EXPIRY = timedelta(seconds=120)
RENEWAL_SECONDS = 30.0

# A backfill of everything takes six minutes at Kite's limit; the job's own limit is an hour.
LONGEST_WAIT = timedelta(minutes=45)


@dataclass(frozen=True, slots=True)
class Record:
    """The state of the lease after one change of it.

    Attributes:
        state: ``held`` or ``released``.
        run_id: who.
        command: the holder's command.
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
    builds one table twice. A process that finds that it has lost the lease, after a sleep of the machine, interrupts
    itself.

    Args:
        archive: keeps the records, under ``leases/``.
        run_id: of this run.
        command: of this run; two of ``run`` on one date are one too many.
        clock: the time, with zone.
        execution: the Cloud Run execution that this is an attempt of.
        wait: waits for so many seconds.

    Raises:
        AlreadyRunning: this is ``run``, and so is what has the lease, since the same date.
        PipelineError: the archive failed, or the lease was not free in ``LONGEST_WAIT``.
    """
    lease = _Lease(archive, run_id, command, clock, execution)
    deadline = clock() + LONGEST_WAIT
    while (holder := lease.take()) is not None:
        if command == holder.command == "run" and holder.date == lease.date:
            raise AlreadyRunning(holder.run_id)
        if clock() > deadline:
            raise PipelineError(
                f"{holder.run_id} has been writing for {LONGEST_WAIT}; see what it does, then run this again"
            )
        _log.warning("waiting for another writer", holder=holder.run_id, expires_at=holder.expires_at)
        wait(5.0)
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(RENEWAL_SECONDS):
            try:
                if not lease.renew():
                    _log.error("lease lost to another writer")
                    signal.raise_signal(signal.SIGTERM)
                    return
            except PipelineError as error:
                # The next renewal may succeed; if none does, another writer takes over.
                _log.warning("lease not renewed", reason=str(error))

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        is_over.set()
        renewing.join()
        try:
            lease.release()
        except PipelineError as error:
            _log.warning("lease not released; it expires", seconds=EXPIRY.total_seconds(), reason=str(error))


class _Lease:
    def __init__(self, archive: Archive, run_id: str, command: str, clock: Clock, execution: str | None) -> None:
        self._archive = archive
        self._clock = clock
        self._execution = execution
        self._holder = {
            "run_id": run_id,
            "command": command,
            "date": exchange_date(clock()).isoformat(),
            "execution": execution,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self._folder = ""
        self._number = 0

    @property
    def date(self) -> object:
        return self._holder["date"]

    def take(self) -> Record | None:
        """Take the lease; return None, or the record of whoever has it."""
        now = self._clock().astimezone(UTC)
        # A folder a day, so that a look at the lease lists few records, however many years there are.
        today, yesterday = (f"leases/{now - timedelta(days=days):%Y-%m-%d}/" for days in (0, 1))
        for folder in (yesterday, today):
            last, record = self._last(folder)
            if record is not None and record.is_held(now, self._execution):
                return record
        self._folder, self._number = today, last
        if self._append("held"):
            return None
        # Another one was faster by a moment, and is what the next look finds.
        return self.take()

    def renew(self) -> bool:
        """Whether the lease is still ours, and for how much longer it now is."""
        return self._append("held")

    def release(self) -> None:
        self._append("released")

    def _append(self, state: str) -> bool:
        expires_at = (self._clock().astimezone(UTC) + EXPIRY).isoformat()
        record = Record(state=state, expires_at=expires_at, **self._holder)  # type: ignore[arg-type]
        path, body = self._path(self._number + 1), json.dumps(asdict(record)).encode()
        # An answer that was lost on its way makes the store refuse what it has just written for us.
        if self._archive.create(path, body) or self._archive.body(path) == body:
            self._number += 1
            return True
        return False

    def _last(self, folder: str) -> tuple[int, Record | None]:
        numbers = [int(path.removeprefix(folder).removesuffix(".json")) for path in self._archive.listed(folder)]
        if not numbers:
            return 0, None
        body = self._archive.body(f"{folder}{max(numbers):06d}.json")
        return max(numbers), Record(**json.loads(body))

    def _path(self, number: int) -> str:
        return f"{self._folder}{number:06d}.json"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
