"""Turns at something that may hang: one takes it, and who waited for one that failed fails with it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """One at a time.

    A warehouse that hangs lets each question fail after many seconds. If forty threads wait for their turn, the last
    one would be answered, and the server could end, forty times as long after.
    """

    def __init__(self) -> None:
        """Nobody has it."""
        # Who has it may ask for it again.
        self._lock = threading.RLock()
        self._failed: tuple[float, object, Exception] | None = None

    @contextmanager
    def taken(self, purpose: object = None) -> Iterator[None]:
        """Have it, after those who came before.

        Args:
            purpose: what it is taken for; a failure is shared with those who want the same.

        Raises:
            Exception: what the one before failed with, when it failed after this one had come.
        """
        came_at = time.monotonic()
        with self._lock:
            if self._failed:
                failed_at, failed_purpose, error = self._failed
                if failed_at >= came_at and failed_purpose == purpose:
                    raise error
            try:
                yield
            except Exception as error:
                self._failed = time.monotonic(), purpose, error
                raise
