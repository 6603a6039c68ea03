"""The id of a run."""

import re
import uuid
from datetime import datetime

# It is part of paths in the archive and of URLs, so only these characters are allowed.
RUN_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"


def new_run_id(command: str, now: datetime) -> str:
    """A new, unique id for a run, which sorts by time."""
    return f"{command}-{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def time_of(run_id: str) -> datetime | None:
    """The time in an id that ``new_run_id`` has made; None if it is another one."""
    told = re.match(r"[a-z]+-(\d{8}T\d{6}Z)-", run_id)
    try:
        return datetime.strptime(told[1], "%Y%m%dT%H%M%S%z") if told else None
    except ValueError:
        return None
