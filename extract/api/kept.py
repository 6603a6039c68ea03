"""A cache of answers, valid until the warehouse holds something new: a query takes seconds, and people may share it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.api_core.exceptions import NotFound

from extract.api.turns import Turns
from extract.errors import PipelineError
from extract.warehouse.connection import Warehouse

# Without a run, an answer changes only with time: when a session becomes late. So it is kept no longer than this.
_KEPT_SECONDS = 900.0

# Sixteen years of one symbol take 8 MB; the page asks for one symbol after the other.
_KEPT_ANSWERS = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """The latest events in the warehouse. Every command that changes an answer moves one of these times.

    Attributes:
        built_at: when the last successful build ended; None if there is none.
        noted_at: when a batch was last noted, as landing or as merged.
        reported_at: when the last command that reports ended.
    """

    built_at: datetime | None
    noted_at: datetime | None
    reported_at: datetime | None


def read_mark(warehouse: Warehouse) -> Mark:
    """Read the mark, in one short statement.

    Raises:
        PipelineError: the warehouse failed.
    """
    raw = warehouse.raw
    try:
        (row,) = warehouse.query(
            f"""
            select
                (select max(built_at) from `{raw}.builds`) as built_at,
                (select max(recorded_at) from `{raw}.batch_events`) as noted_at,
                (select max(_extracted_at) from `{raw}.extract_runs`) as reported_at
            """
        )
    except PipelineError as error:
        if isinstance(error.__cause__, NotFound):
            return Mark(None, None, None)
        raise
    return Mark(**dict(row.items()))


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Any
    mark: Mark
    made_at: float


class KeptAnswers:
    """A least-recently-used cache of answers."""

    def __init__(self, warehouse: Callable[[], Warehouse]) -> None:
        """Keep nothing yet; ``warehouse`` may fail."""
        self._warehouse = warehouse
        # In order of last use.
        self._kept: dict[object, _Answer] = {}
        self._changing = threading.Lock()
        self._marking = Turns()
        # The last mark, and the time at which reading it began.
        self._marked: tuple[float, Mark] | None = None
        # Several, because an answer may contain another: while it is made, the other one needs its own turn.
        self._turns = [Turns() for _ in range(_KEPT_ANSWERS)]

    def __len__(self) -> int:
        return len(self._kept)

    def kept[T](self, key: object, make: Callable[[], T], *, again: bool = False) -> T:
        """The kept answer, if it was made after the last run and not too long ago; else a new one.

        Of several callers at once, one makes the answer. The mark is read after each call came, so that no answer is
        older than the last run; callers at the same time share one reading.

        Args:
            key: identifies the answer.
            make: queries the warehouse for it.
            again: make it again, even if one is kept.

        Raises:
            PipelineError: the warehouse failed.
        """
        came_at = time.monotonic()
        warehouse = self._warehouse()
        mark = self._mark(warehouse, came_at)
        # A failure of a warehouse that has died says nothing of the one that is open now: its callers do not share it.
        with self._turns[hash(key) % len(self._turns)].taken((key, warehouse)):
            kept, now = self._kept.get(key), time.monotonic()
            if again or kept is None or kept.mark != mark or now - kept.made_at > _KEPT_SECONDS:
                for old in [k for k, v in list(self._kept.items()) if now - v.made_at > _KEPT_SECONDS]:
                    self._kept.pop(old, None)
                kept = _Answer(make(), mark, now)
            with self._changing:
                self._kept.pop(key, None)
                self._kept[key] = kept
                while len(self._kept) > _KEPT_ANSWERS:
                    del self._kept[next(iter(self._kept))]
        value: T = kept.value
        return value

    def _mark(self, warehouse: Warehouse, came_at: float) -> Mark:
        with self._marking.taken(warehouse):
            if self._marked is None or self._marked[0] < came_at:
                self._marked = time.monotonic(), read_mark(warehouse)
            return self._marked[1]
