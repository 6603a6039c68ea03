"""A bar that was asked for and did not come is asked for again, ever more seldom, and told until then; and no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from extract.fetching import plan
from extract.fetching.holes import read_holes
from extract.fetching.run import daily_plan, fetch, range_plan
from extract.fetching.shortfalls import holes_left, shortfalls
from extract.landing.raw import KITE_DAILY_BARS
from extract.sources import Request
from infra.local.providers import Fault
from tests.conftest import Pipeline
from tests.extract.conftest import LAST_DAY, MORNING, Exchange, received

FIRST = date(2024, 6, 3)
JULY = (date(2024, 7, 1), date(2024, 7, 31))


@contextmanager
def without(exchange: Exchange, symbol: str, *days: date) -> Iterator[None]:
    """Let Kite have no bars of a symbol's days."""
    (row,) = [n for n, instrument in enumerate(exchange.market.instruments) if instrument.symbol == symbol]
    columns = [n for n, session in enumerate(exchange.market.sessions) if session.trade_date in days]
    assert len(columns) == len(days)
    is_sent = exchange.market.kite.is_sent
    before = is_sent[row, columns].copy()
    is_sent[row, columns] = False
    try:
        yield
    finally:
        is_sent[row, columns] = before


def backfill(exchange: Exchange, pipeline: Pipeline, now: datetime, *days: date) -> tuple[list[Request], list[str]]:
    """Backfill Kite's bars; return what bars were asked for, and what was told to be missing."""
    first, last = days
    with exchange.run(pipeline, now) as job:
        requests = range_plan(job, "kite", first, last, again=False)
        fetch(job, requests)
        empty = [sentence for sentence in shortfalls(job) if "empty" in sentence]
        return [r for r in requests if r.instruments], empty + holes_left(job, "kite", (first, last), now)


def bars_of(pipeline: Pipeline, symbol: str) -> list[date]:
    return [row[1] for row in received(pipeline, KITE_DAILY_BARS) if row[0] == symbol]


def test_what_was_answered_with_nothing_is_asked_for_again(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(Fault("kite", "empty", symbols=("TCS",)))
    backfill(faultless, pipeline, MORNING, *JULY)
    assert bars_of(pipeline, "TCS") == []
    faultless.providers.fail()
    requests, said = backfill(faultless, pipeline, MORNING, *JULY)
    assert [request.instruments[0].symbol for request in requests] == ["TCS"]
    assert said == []
    assert len(bars_of(pipeline, "TCS")) == len(bars_of(pipeline, "ABB")) > 20
    assert backfill(faultless, pipeline, MORNING, *JULY) == ([], [])


@pytest.mark.parametrize(
    "days",
    [
        [date(2024, 7, 1), date(2024, 7, 2)],
        [date(2024, 7, 15)],
        [date(2024, 7, 30), date(2024, 7, 31)],
        [date(2024, 7, 2), date(2024, 7, 29)],
    ],
    ids=["first", "middle", "last", "apart"],
)
def test_what_an_answer_lacks_is_told_and_asked_for_again(
    faultless: Exchange, pipeline: Pipeline, days: list[date]
) -> None:
    with without(faultless, "TCS", *days):
        _, said = backfill(faultless, pipeline, MORNING, *JULY)
    (sentence,) = said
    counted = f"{len(days)} bar{'s' * (len(days) > 1)}"
    assert sentence.startswith(f"kite: answered without {counted} of TCS, from {days[0]} to {days[-1]};")
    (request,), said = backfill(faultless, pipeline, MORNING, *JULY)
    assert (request.instruments[0].symbol, request.first, request.last) == ("TCS", days[0], days[-1])
    assert said == []
    assert set(days) <= set(bars_of(pipeline, "TCS"))
    # Of the other days, nothing has come twice.
    assert len(bars_of(pipeline, "TCS")) == len(set(bars_of(pipeline, "TCS")))


def test_who_has_no_such_bar_is_asked_ever_more_seldom_and_then_no_more(
    faultless: Exchange, pipeline: Pipeline
) -> None:
    asked_after = []
    with without(faultless, "TCS", date(2024, 7, 15)):
        for days in range(18):
            now = MORNING + timedelta(days=days)
            requests, said = backfill(faultless, pipeline, now, *JULY)
            if requests:
                asked_after.append(days)
            # It is told for as long as it may still come.
            assert bool(said) == (days <= 8)
    assert asked_after == [0, 1, 2, 4, 8]
    assert said == []
    with faultless.run(pipeline, now) as job:
        (hole,) = read_holes(job.warehouse(), ["kite"], job.instruments, *JULY)
    assert (hole.symbol, hole.session_count, hole.asked_count, hole.is_settled) == ("TCS", 1, 5, True)


def test_a_daily_run_asks_for_older_holes_and_not_for_what_its_own_window_covers(
    faultless: Exchange, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A history that is longer than what a run asks for each day, in little.
    monkeypatch.setattr(plan, "_DEEP_DAYS", 40)
    with without(faultless, "TCS", date(2024, 7, 15), date(2024, 12, 10)):
        backfill(faultless, pipeline, MORNING, FIRST, LAST_DAY)
    now = MORNING + timedelta(days=1)
    with faultless.run(pipeline, now) as job:
        requests = daily_plan(job, "kite")
        assert [r.instruments[0].symbol for r in requests if r.first == r.last == date(2024, 7, 15)] == ["TCS"]
        assert sum(bool(request.instruments) for request in requests) == len(job.instruments) + 1
        fetch(job, requests)
    assert {date(2024, 7, 15), date(2024, 12, 10)} <= set(bars_of(pipeline, "TCS"))


def test_days_before_the_listing_and_after_the_delisting_are_no_holes(faultless: Exchange, pipeline: Pipeline) -> None:
    with without(faultless, "TCS", date(2024, 7, 1), date(2024, 7, 31)):
        backfill(faultless, pipeline, MORNING, *JULY)
    with faultless.run(pipeline, MORNING) as job:
        (tcs,) = [instrument for instrument in job.instruments if instrument.symbol == "TCS"]
        listed = replace(tcs, listed_on=date(2024, 7, 2), delisted_on=date(2024, 7, 30))
        assert read_holes(job.warehouse(), ["kite"], [listed], *JULY) == []
        assert len(read_holes(job.warehouse(), ["kite"], [tcs], *JULY)) == 1


def test_a_bar_that_is_withdrawn_lands_nothing_again(faultless: Exchange, pipeline: Pipeline) -> None:
    def again(now: datetime) -> None:
        with faultless.run(pipeline, now) as job:
            fetch(job, range_plan(job, "kite", FIRST, LAST_DAY, again=True))

    again(MORNING)
    before = received(pipeline, KITE_DAILY_BARS)
    with without(faultless, "TCS", date(2024, 12, 10)):
        for days in (1, 2, 3):
            again(MORNING + timedelta(days=days))
            assert received(pipeline, KITE_DAILY_BARS) == before
