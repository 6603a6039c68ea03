"""Turns at something that may hang: one caller has it at a time; if it fails, the callers that waited fail too."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock whose waiting callers share a failure.

    If a warehouse hangs, each query fails after many seconds. With a plain lock, the last of forty waiting threads
    would fail after forty times as long, and the server could not stop before that.
    """

    def __init__(self) -> None:
        """Begin with no holder."""
        # Reentrant: the holder may take it again.
        self._lock = threading.RLock()
        self._failed: tuple[float, object, Exception] | None = None

    @contextmanager
    def taken(self, purpose: object = None) -> Iterator[None]:
        """Hold the lock, after the callers that came before.

        Args:
            purpose: what it is taken for; a failure is shared with waiting callers of the same purpose.

        Raises:
            Exception: the error of the holder before, if it failed after this caller had come.
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
