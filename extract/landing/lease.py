"""One writer at a time: a lease that is kept as records in the archive, each created once and never changed.

The lease may be in the archive itself, whose objects can be neither replaced nor deleted, or in a folder, for which the
store's library cannot replace an object on a condition. So a lease is a numbered sequence of records, of which the last
one counts. A process changes the state by creating the record with the next number; the store lets only one process
create it.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import structlog

from extract.errors import FAILED, AlreadyRunning, ConfigurationError, PipelineError
from extract.landing import lease_record
from extract.landing.archive import Archive
from extract.landing.lease_record import Record, last_record, read_record, record_path
from extract.seeds import Clock, exchange_date

_log = structlog.get_logger()

# A holder that writes no new record for this long has lost the lease. A waiting process measures how long it has
# waited, and the holder measures the time since it last renewed: clocks of two machines are never compared. The holder
# renews ten times as often, and a write is retried for two minutes at most (``extract.landing.archive``).
EXPIRY = timedelta(minutes=5)
RENEWAL_SECONDS = 30.0

# A holder that cannot renew begins to stop this long before the lease expires, and is ended by force when it expires.
_STOPPING = timedelta(minutes=1)

LOST = (
    "this command could not show in the archive that it is at work, and stopped, so that there is one writer;"
    " `trading-data diagnose` says what is wrong, then run it again"
)

_POLL_SECONDS = 5.0
_LOOK_SECONDS = 1.0

# A clock that also counts while the machine sleeps, and is never set; the monotonic clock where the system lacks it.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# A backfill of everything takes six minutes at Kite's limit; the job's own limit is an hour.
LONGEST_WAIT = timedelta(minutes=45)


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

    If another command holds it, this one waits: together they would exceed the providers' limits, and dbt would build
    the same tables twice. A process that has lost the lease, or could not renew it for too long, interrupts itself, and
    is ended a minute later if it is still running. The event that is yielded is set then.

    Args:
        archive: where the records are, under ``leases/``.
        run_id: of this run.
        command: of this run, with its mode and symbols; a second ``run`` of the same kind on the same date is refused.
        clock: the time, with zone.
        execution: the Cloud Run execution that this process is an attempt of.
        wait: waits for the given number of seconds.
        tell: called once for each other command that this one waits for.

    Raises:
        AlreadyRunning: this is ``run``, and the holder is alive, and began the same command on the same date.
        PipelineError: the archive failed, or the lease was not free in ``LONGEST_WAIT``.
    """
    lease = _Lease(archive, run_id, command, clock, execution)
    waited = since = 0.0
    seen: tuple[str, int] | None = None
    told: str | None = None
    while (holder := lease.take()) is not None:
        # A new record of the same holder shows that it is alive; a holder that was killed writes no more records.
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
    """The holder of the lease, as far as one look can tell; None if it is free.

    Raises:
        PipelineError: the archive failed, or the lease cannot be read.
    """
    _, last = last_record(archive)
    if last is None or not last.may_write(None) or datetime.fromisoformat(last.expires_at) <= now:
        return None
    return last


def seen_holder(lease_uri: str, now: datetime) -> Record | None:
    """The holder of the lease, for commands that only report; None also if the lease cannot be read.

    `trading-data diagnose` says why it cannot.
    """
    with suppress(ConfigurationError, PipelineError):
        return holder(Archive(lease_uri, must_exist=True, setting="LEASE_URI"), now)
    return None


def _renew(lease: "_Lease", is_over: threading.Event) -> None:
    """Renew until the command is over, or another one has the lease. ``_watch`` checks that this thread works."""
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
    # A signal to the process, because the main thread may be waiting in a call.
    os.kill(os.getpid(), signal.SIGTERM)
    if not is_over.wait(_STOPPING.total_seconds()):
        _log.error("it did not stop in time; ending it")
        os._exit(FAILED)


class _Lease:
    """The lease as one process sees it.

    Attributes:
        date: the exchange's date on which the process asked for it.
        number: the number of the last record that it knows.
        is_lost: set when another process has it, or may have it soon.
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
            space=lease_record.process_space(),
            began=lease_record.process_began(os.getpid()),
            since=clock().astimezone(UTC).isoformat(timespec="seconds"),
        )

    def take(self) -> Record | None:
        """Take the lease and return None; if another process holds it, return that record."""
        while True:
            self.number, last = last_record(self._archive)
            if last is not None and last.may_write(self._execution):
                return last
            if self.append("held"):
                return None
            # Another process was faster: the next iteration finds its record.

    def unrenewed(self) -> timedelta:
        """The time since the last successful write began."""
        return timedelta(seconds=time.clock_gettime(_ELAPSED) - self._renewed_at)

    def append(self, state: str) -> bool:
        """Write the next record; return False if another process has written it."""
        began = time.clock_gettime(_ELAPSED)
        expires_at = (self._clock().astimezone(UTC) + EXPIRY).isoformat()
        record = replace(self._ours, state=state, expires_at=expires_at)
        while not self._archive.create(record_path(self.number + 1), json.dumps(asdict(record)).encode()):
            there = read_record(self._archive, self.number + 1)
            if there.run_id != record.run_id:
                return False
            # It is our own record: it was written, but the answer was lost.
            self.number += 1
            if there.state == state:
                self._ours = there
                self._renewed_at = began
                return True
        self.number += 1
        self._ours = record
        self._renewed_at = began
        return True
