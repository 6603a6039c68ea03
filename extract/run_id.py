"""The id of a run."""

import uuid
from datetime import datetime

# It is part of paths in the archive and of URLs, so only these characters are allowed.
RUN_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"


def new_run_id(command: str, now: datetime) -> str:
    """A new, unique id for a run, which sorts by time."""
    return f"{command}-{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
