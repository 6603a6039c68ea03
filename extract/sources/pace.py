"""How fast requests are sent to a provider, and how often they are retried."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import tenacity

from extract.errors import SourceUnavailable

# With full jitter, the waits before the second to the fifth attempt are at most 0.5, 1, 2 and 4 s. If a fifth of all
# requests fail at random, one symbol in three thousand stays unserved.
ATTEMPTS = 5
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0


class Sleep(Protocol):
    """Wait for some seconds; may return early if the run is to stop."""

    def __call__(self, seconds: float, /) -> object:
        """Wait."""
        ...


class Pacer:
    """Spaces the requests to one provider evenly, over all threads that ask it."""

    def __init__(
        self, requests_per_second: float, clock: Callable[[], float] = time.monotonic, sleep: Sleep = time.sleep
    ) -> None:
        """Allow ``requests_per_second``, evenly spaced."""
        # The interval is 1 % longer than the limit requires: the provider counts arrivals, and a request may arrive
        # some milliseconds closer to the previous request than it was sent.
        self._interval = 1.01 / requests_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = clock()

    def wait(self) -> None:
        """Return when the next request may be sent."""
        with self._lock:
            slot = max(self._clock(), self._next)
            self._next = slot + self._interval
        if (seconds := slot - self._clock()) > 0:
            self._sleep(seconds)

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds, because the provider said that we send too many requests."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


def attempts(stop: threading.Event, first_wait: float) -> tenacity.Retrying:
    """Retry while a provider is unavailable and waiting may help; at the end, the last error is raised.

    Args:
        stop: if it is set, no further attempt is made, and a wait ends.
        first_wait: seconds before the second attempt, at most; each further wait is twice as long.
    """
    backoff = tenacity.wait_random_exponential(multiplier=first_wait, max=LONGEST_WAIT)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, SourceUnavailable) else None
        return max(asked or 0.0, backoff(state))

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_any(tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_when_event_set(stop)),
        wait=wait,
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, SourceUnavailable) and not error.stops_source and (error.retry_after or 0) <= LONGEST_WAIT
