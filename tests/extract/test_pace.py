"""Pace and attempts, on a clock of the test's own."""

import threading

import pytest

from extract.errors import SourceRefused, SourceUnavailable
from extract.sources.pace import ATTEMPTS, Pacer, attempts


class Clock:
    """Moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_no_four_of_three_requests_a_second_fall_into_one_second() -> None:
    clock = Clock()
    pacer = Pacer(3, clock, clock.sleep)
    sent = []
    for _ in range(250):
        pacer.wait()
        sent.append(clock.now)
    assert all(later - earlier > 1.0 for earlier, later in zip(sent, sent[3:], strict=False))
    # 249 intervals at 3 a second are 83 s.
    assert sent[-1] <= 1.05 * 249 / 3


def test_a_pause_holds_all_that_follow() -> None:
    clock = Clock()
    pacer = Pacer(3, clock, clock.sleep)
    pacer.wait()
    pacer.hold(10)
    pacer.wait()
    assert clock.now >= 10


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SourceUnavailable("down"), ATTEMPTS),
        (SourceUnavailable("wait", retry_after=0.02), ATTEMPTS),
        (SourceUnavailable("limit", stops_source=True), 1),
        (SourceUnavailable("come back in an hour", retry_after=3600), 1),
        (SourceRefused("no"), 1),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, expected: int) -> None:
    tried = []

    def fail() -> None:
        tried.append(1)
        raise error

    with pytest.raises(type(error)):
        attempts(threading.Event(), first_wait=0.001)(fail)
    assert len(tried) == expected


def test_a_run_that_is_to_stop_makes_no_further_attempt() -> None:
    stop = threading.Event()
    tried = []

    def fail() -> None:
        tried.append(1)
        stop.set()
        raise SourceUnavailable("down")

    with pytest.raises(SourceUnavailable):
        attempts(stop, first_wait=60)(fail)
    assert len(tried) == 1
