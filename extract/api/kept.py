"""Answers of the warehouse, kept until it holds something new: they take seconds, and several people may look."""

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

# Between two runs only the clock makes something wrong: a session that is late.
_KEPT_SECONDS = 900.0

# A symbol's sixteen years take 8 MB; the page asks for one after the other.
_KEPT_ANSWERS = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """What the warehouse has seen last. Every command that changes an answer moves one of these.

    Attributes:
        built_at: when a build ended well; None where none did.
        noted_at: when a batch was noted, as it came or as it was built.
        reported_at: when a command that reports had ended.
    """

    built_at: datetime | None
    noted_at: datetime | None
    reported_at: datetime | None


def read_mark(warehouse: Warehouse) -> Mark:
    """Ask for the mark, in one short statement.

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
    """Keeps as many answers as there is room for, the last used longest."""

    def __init__(self, warehouse: Callable[[], Warehouse]) -> None:
        """Keep nothing yet; ``warehouse`` may fail."""
        self._warehouse = warehouse
        # The last used last.
        self._kept: dict[object, _Answer] = {}
        self._changing = threading.Lock()
        self._marking = Turns()
        # The last mark, and when it began to be asked for.
        self._marked: tuple[float, Mark] | None = None
        # One may make another, which it holds.
        self._turns = [Turns() for _ in range(_KEPT_ANSWERS)]

    def __len__(self) -> int:
        return len(self._kept)

    def kept[T](self, key: object, make: Callable[[], T], *, again: bool = False) -> T:
        """What was made since the last run, and not long ago; one of several that ask at once makes it.

        The mark is asked for after each question, so that no answer is older than the last run; those who ask at once
        share one.

        Args:
            key: of the answer.
            make: asks the warehouse.
            again: make it, whatever is kept.

        Raises:
            PipelineError: the warehouse failed.
        """
        mark = self._mark(time.monotonic())
        with self._turns[hash(key) % len(self._turns)].taken(key):
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

    def _mark(self, came_at: float) -> Mark:
        with self._marking.taken():
            if self._marked is None or self._marked[0] < came_at:
                self._marked = time.monotonic(), read_mark(self._warehouse())
            return self._marked[1]
