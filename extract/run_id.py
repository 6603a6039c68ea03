"""What names a run."""

import uuid
from datetime import datetime

# In paths of the archive, and in addresses.
RUN_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"


def new_run_id(command: str, now: datetime) -> str:
    """An id for a run: sortable by time, and no other run's."""
    return f"{command}-{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
