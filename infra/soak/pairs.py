"""Runs that are started twice."""

import contextlib
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from extract.errors import AlreadyRunning
from extract.landing.archive import Archive
from extract.landing.lease import held
from extract.seeds import EXCHANGE_ZONE
from infra.soak.outcome import Outcome
from infra.soak.places import PROCESSES


def pairs(count: int, seed: int, broken: str | None) -> Outcome:
    """Start two runs at once, of which only one may write."""
    outcome = Outcome("pairs", broken, seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        for number in range(count):
            barrier, over = PROCESSES.Barrier(2), PROCESSES.Semaphore(0)
            archive_uri = f"{folder}/{number}"
            both = [
                PROCESSES.Process(target=_one_of_two, args=(archive_uri, f"run-{side}", barrier, over, broken))
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
