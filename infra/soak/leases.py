"""Leases under faults: renewals that are refused, holders that are killed or do not stop, clocks apart, pids reused."""

import fcntl
import json
import os
import random
import signal
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from extract.errors import PipelineError
from extract.landing import lease as lease_module
from extract.landing import lease_record
from extract.landing.archive import Archive
from extract.landing.lease import held
from extract.landing.lease_record import Record
from extract.seeds import EXCHANGE_ZONE
from infra.soak.outcome import Outcome
from infra.soak.places import PROCESSES

BROKEN = ("unwatched", "by_pid")

_KINDS = ("refused", "stuck", "killed", "clocks_apart", "pid_reused")

# The times of the lease, shorter: a process that may be starved on a busy machine still has three seconds to stop.
_EXPIRY, _STOPPING, _RENEWAL, _POLL = timedelta(seconds=6), timedelta(seconds=3), 0.2, 0.05

# In this time, the second process must have written, whatever became of the first one.
_PATIENCE = 20.0

_WROTE, _SECOND_WRITER, _NOT_FREE = 10, 12, 13


def leases(count: int, seed: int, broken: str | None) -> Outcome:
    """Let one process hold the lease and meet a fault, while another waits; look whether they ever write together."""
    outcome = Outcome("leases", broken, seed)
    drawn = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        for number in range(count):
            place = Path(folder) / str(number)
            place.mkdir()
            kind = _KINDS[number % len(_KINDS)]
            # On another machine, nobody sees whether a process is alive.
            is_elsewhere = kind != "pid_reused" and drawn.random() < 0.5
            found = _fault(place, kind, drawn, broken, is_elsewhere=is_elsewhere)
            outcome.told[f"{kind}, {'another machine' if is_elsewhere else 'one machine'}"] += 1
            if found:
                outcome.findings.append(f"{kind} ({number}): {found}")
        outcome.count = count
    return outcome


def _fault(place: Path, kind: str, drawn: random.Random, broken: str | None, *, is_elsewhere: bool) -> str | None:
    """Run one fault; return what was wrong, None if nothing was."""
    has_begun = PROCESSES.Event()
    hours = [drawn.uniform(-30, 30) if kind == "clocks_apart" else 0.0 for _ in range(2)]
    first = PROCESSES.Process(
        target=_hold, args=(str(place), "first", kind, hours[0], broken, is_elsewhere, has_begun), daemon=True
    )
    first.start()
    if not has_begun.wait(_PATIENCE):
        return "the first process did not get the lease"
    time.sleep(drawn.uniform(0, 0.5))
    if kind in ("killed", "pid_reused"):
        first.kill()
        first.join()
    if kind == "pid_reused":
        _give_pid_to(place, os.getpid())
    second = PROCESSES.Process(
        target=_hold,
        args=(str(place), "second", "none", hours[1], broken, is_elsewhere, has_begun),
        daemon=True,
    )
    second.start()
    # A holder that is seen to be dead is not waited for.
    is_seen_dead = kind in ("killed", "pid_reused") and not is_elsewhere
    second.join(_EXPIRY.total_seconds() - 1 if is_seen_dead else _PATIENCE)
    is_waiting = second.exitcode is None
    for process in (first, second):
        process.kill()
        process.join()
    if is_waiting and is_seen_dead:
        return "the second process waited for a dead one"
    wrong = {_SECOND_WRITER: "two processes wrote at once", _NOT_FREE: "the lease never became free"}
    if second.exitcode == _WROTE:
        return None
    return wrong.get(int(second.exitcode or 0), f"the second process ended with {second.exitcode}")


def _hold(place: str, run_id: str, kind: str, hours: float, broken: str | None, is_elsewhere: bool, begun: Any) -> None:
    """Hold the lease and write; as the first process, until a fault or a second has passed."""
    lease_module.EXPIRY, lease_module._STOPPING = _EXPIRY, _STOPPING
    lease_module.RENEWAL_SECONDS, lease_module._POLL_SECONDS, lease_module._LOOK_SECONDS = _RENEWAL, _POLL, _POLL
    lease_module.LONGEST_WAIT = timedelta(seconds=_PATIENCE / 2)
    if is_elsewhere:
        lease_record.process_space = lambda: None
    if broken == "unwatched":
        lease_module._watch = lambda *_: None
    if broken == "by_pid":
        Record._is_alive = lambda self: Path(f"/proc/{self.pid}").exists()  # type: ignore[method-assign]
    if kind == "stuck":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    archive = Archive(f"{place}/archive")
    clock = lambda: datetime.now(EXCHANGE_ZONE) + timedelta(hours=hours)  # noqa: E731
    status = _WROTE
    try:
        with held(archive, run_id, run_id, clock), Path(place, "writing").open("w") as file:
            try:
                # The lock goes with the process, however it ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os._exit(_SECOND_WRITER)
            begun.set()
            if kind in ("refused", "stuck"):
                Archive.create = _refuse  # type: ignore[method-assign]
            if run_id == "first":
                time.sleep(1 if kind == "clocks_apart" else 2 * _PATIENCE)
    except PipelineError:
        status = _NOT_FREE
    os._exit(status)


def _refuse(self: Archive, path: str, body: bytes) -> bool:  # noqa: ARG001
    raise PipelineError("the archive refuses to write")


def _give_pid_to(place: Path, pid: int) -> None:
    """Write into the last record the pid of a living process, as if it had got the number of the dead one."""
    last = max((place / "archive" / "leases").rglob("*.json"))
    last.write_text(json.dumps(json.loads(last.read_text()) | {"pid": pid}))
