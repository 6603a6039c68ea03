"""The records of the lease: what one says, whether its holder may still write, and where the last one is."""

import json
import shlex
import socket
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path, PurePosixPath

from extract.errors import PipelineError
from extract.landing.archive import Archive
from extract.seeds import FIRST_DAY

# Reading the lease lists one folder, which has at most this many records; a day adds about thirty.
_RECORDS_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Record:
    """The state of the lease after one change of it.

    Attributes:
        state: ``held`` or ``released``. A record with no other field was written by a person.
        run_id: the run that wrote the record.
        command: the holder's command, with what it is about.
        date: the exchange's date on which it began.
        expires_at: until when the record counts by the holder's clock, ISO 8601 in UTC; for people to read.
        execution: the Cloud Run execution, whose attempts run one after the other; None elsewhere.
        host: the machine on which it runs.
        pid: its process there.
        space: the boot and process namespace in which ``pid`` is unique; None if it cannot be determined.
        began: when that process began, in ticks since the boot, because a pid is reused by later processes.
        since: when its command asked for the lease, ISO 8601 in UTC; for people to read.
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
        """Read a record; one of a newer release may have more fields, and one of an older release fewer.

        Raises:
            ValueError: it is not a record.
        """
        told = json.loads(body)
        if not isinstance(told, dict) or told.get("state") not in ("held", "released"):
            raise ValueError("it has no state")
        record = cls(**{field.name: told[field.name] for field in fields(cls) if field.name in told})
        texts = (record.run_id, record.command, record.date, record.expires_at, record.since)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its holder is not a text")
        if record.state == "held":
            expires_at = datetime.fromisoformat(record.expires_at)
            # At the ends of the calendar, a time has none in UTC.
            if expires_at.tzinfo is None or not FIRST_DAY.year <= expires_at.year < 9999:
                raise ValueError(f"its time is {record.expires_at}")
        return record

    def may_write(self, execution: str | None) -> bool:
        """Whether its holder may still be writing: it has not released the lease, and is not known to be dead."""
        if self.state != "held":
            return False
        if self.execution or execution:
            # Cloud Run starts the next attempt of a task only after the last one is dead.
            return self.execution != execution
        return self._is_alive() is not False

    def is_seen_alive(self) -> bool:
        """Whether its holder is known to be alive: a running process of this machine."""
        return not self.execution and self._is_alive() is True

    def _is_alive(self) -> bool | None:
        """Whether the process is alive; None if this cannot be seen from here."""
        if self.space is None or self.space != process_space():
            return None
        return self.began == process_began(self.pid)


def last_record(archive: Archive) -> tuple[int, Record | None]:
    """The record that counts, and its number; 0 and None if there is none.

    Raises:
        PipelineError: the archive failed, or the record cannot be read.
    """
    for folder in sorted(archive.folders("leases/"), reverse=True):
        names = {path: PurePosixPath(path).stem for path in archive.listed(f"{folder}/")}
        # Ignores files that do not have the name of a record.
        numbers = [int(name) for path, name in names.items() if name.isdecimal() and path == record_path(int(name))]
        # On a disk, a folder exists a moment before its first record.
        if numbers:
            return max(numbers), read_record(archive, max(numbers))
    return 0, None


def read_record(archive: Archive, number: int) -> Record:
    """The record with a number.

    Raises:
        PipelineError: the archive failed, or the record cannot be read; the text has the command that mends it.
    """
    try:
        return Record.parsed(archive.body(record_path(number)))
    except (ValueError, TypeError) as error:
        if archive.folder:
            remedy = f"rm {shlex.quote(str(archive.folder / record_path(number)))}"
        else:
            # Nothing can be deleted from the bucket, so the remedy writes the next record, which counts.
            following = f"{archive.uri.rstrip('/')}/{record_path(number + 1)}"
            remedy = f"""echo '{{"state": "released"}}' | gcloud storage cp - {shlex.quote(following)}"""
        raise PipelineError(
            f"{record_path(number)} in the archive does not tell who writes ({error}); see that no other command is at"
            f" work, then type: {remedy}"
        ) from error


def record_path(number: int) -> str:
    """Where the record with a number is: ``leases/<folder>/<number>.json``."""
    return f"leases/{number // _RECORDS_PER_FOLDER:06d}/{number:09d}.json"


def process_space() -> str | None:
    """The scope in which a pid is unique: this boot of this machine, and this container; None if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def process_began(pid: int) -> str | None:
    """When a process began, in ticks since the boot; None if it does not exist or no longer runs."""
    try:
        # The name of the process, in brackets, may contain any character.
        state, *others = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    # While a process ends, its first thread may be gone and another one still write.
    threads, began = int(others[16]), others[18]
    return None if state == "X" or (state == "Z" and threads <= 1) else began
