"""A bar that was asked for and did not come is asked for again, ever more seldom, and told until then; and no other."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from unittest.mock import patch

import pytest

from extract.data import bars
from extract.fetching import plan
from extract.fetching.holes import read_holes
from extract.fetching.run import daily_plan, fetch, range_plan
from extract.fetching.shortfalls import holes_left, shortfalls
from extract.landing.raw import KITE_DAILY_BARS
from extract.sources import Request
from infra.local.providers import Fault
from tests.conftest import Pipeline
from tests.extract.conftest import LAST_DAY, MORNING, Exchange, assert_as_one_full_build, received

FIRST = date(2024, 6, 3)
JULY = (date(2024, 7, 1), date(2024, 7, 31))


@contextmanager
def without(exchange: Exchange, symbol: str, *days: date, source: str = "kite") -> Iterator[None]:
    """Let a source, Kite or Yahoo, have no bars of a symbol's days."""
    (row,) = [n for n, instrument in enumerate(exchange.market.instruments) if instrument.symbol == symbol]
    columns = [n for n, session in enumerate(exchange.market.sessions) if session.trade_date in days]
    assert len(columns) == len(days)
    is_sent = (exchange.market.kite if source == "kite" else exchange.market.yahoo).is_sent
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
    monkeypatch.setattr(plan, "DEEP_DAYS", 40)
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


def test_a_bar_that_is_withdrawn_ends_a_version_and_yields_to_another_source(
    faultless: Exchange, built_pipeline: Pipeline, pipeline: Pipeline
) -> None:
    gone_on = date(2024, 12, 10)
    of_day = (
        f"select symbol, source_id, is_valid, failed_checks from `{{d}}.fct_daily_bars` where trade_date = '{gone_on}'"
    )
    chosen = f"{of_day} and symbol in ('TCS', 'M&M') order by symbol"
    ended = "select symbol, source_id, trade_date from `{d}.fct_daily_bar_revisions` where withdrawn_at is not null"

    def again(now: datetime) -> int:
        with faultless.run(built_pipeline, now) as job:
            fetch(job, range_plan(job, "auto", FIRST, LAST_DAY, again=True))
        return job.extraction.withdrawn_bars

    with without(faultless, "TCS", gone_on, source="yahoo"):
        again(MORNING)
    before = raw_days(built_pipeline)
    built_pipeline.build()
    assert [row[1] for row in built_pipeline.query(chosen)] == ["kite", "kite"]
    with without(faultless, "TCS", gone_on), without(faultless, "M&M", gone_on):
        for days in (1, 2, 3):
            with without(faultless, "TCS", gone_on, source="yahoo"):
                assert again(MORNING + timedelta(days=days)) == (2 if days == 1 else 0)
            # It is noted once, however often the provider is asked.
            added = raw_days(built_pipeline) - before
            assert added == Counter([("TCS", gone_on, True), ("M&M", gone_on, True)])
        built_pipeline.build()
    assert sorted(built_pipeline.query(ended)) == [("M&M", "kite", gone_on), ("TCS", "kite", gone_on)]
    # Yahoo has no bar of TCS: the only known one is used, and says that its source no longer sends it.
    other, kept = built_pipeline.query(chosen)
    assert kept[1:3] == ("kite", True)
    assert "is_still_sent" in kept[3]
    assert other[1:3] == ("yahoo", True)
    assert "is_still_sent" not in other[3]
    assert_as_one_full_build(built_pipeline, replace(pipeline, archive_dir=built_pipeline.archive_dir))
    # It was a mistake: the provider sends it again, as it was.
    known_then = [as_of(built_pipeline, MORNING + timedelta(days=days)) for days in (0.5, 1.5, 3.5)]
    assert known_then[0] != known_then[1] == known_then[2]
    again(MORNING + timedelta(days=4))
    built_pipeline.build()
    assert [as_of(built_pipeline, MORNING + timedelta(days=days)) for days in (0.5, 1.5, 3.5)] == known_then
    assert as_of(built_pipeline, MORNING + timedelta(days=4.5)) == known_then[0]
    assert sorted(built_pipeline.query(ended)) == [("M&M", "kite", gone_on), ("TCS", "kite", gone_on)]
    now = (
        f"select symbol, known_from, first_sent_at from `{{d}}.fct_daily_bar_revisions` where trade_date = '{gone_on}'"
    )
    returned = built_pipeline.query(
        f"{now} and source_id = 'kite' and symbol in ('TCS', 'M&M') and known_to is null order by symbol"
    )
    assert returned == [("M&M", MORNING + timedelta(days=4), MORNING), ("TCS", MORNING + timedelta(days=4), MORNING)]
    assert [row[1] for row in built_pipeline.query(chosen)] == ["kite", "kite"]
    assert_as_one_full_build(built_pipeline, replace(pipeline, archive_dir=built_pipeline.archive_dir))


def test_a_range_that_ends_today_hides_no_hole(faultless: Exchange, pipeline: Pipeline) -> None:
    """By its days it could be the window of a daily run, which passes over what comes before a source's first bar."""
    days = [session.trade_date for session in faultless.market.sessions]
    absent = days[:30]
    with (
        without(faultless, "TCS", *absent),
        without(faultless, "M&M", *absent),
        faultless.run(pipeline, MORNING) as job,
    ):
        tcs, mm = (
            replace(instrument, listed_on=days[0])
            for symbol in ("TCS", "M&M")
            for instrument in job.instruments
            if instrument.symbol == symbol
        )
        ranged = Request(KITE_DAILY_BARS, (tcs,), days[0].replace(day=1), job.today)
        fetch(job, [ranged, replace(ranged, instruments=(mm,), is_daily=True)])
        (hole,) = read_holes(job.warehouse(), ["kite"], [tcs, mm], days[0], LAST_DAY)
    assert (hole.symbol, hole.first_date, hole.last_date) == ("TCS", absent[0], absent[-1])


def test_a_short_answer_withdraws_nothing(faultless: Exchange, pipeline: Pipeline) -> None:
    def again(now: datetime) -> None:
        with faultless.run(pipeline, now) as job:
            fetch(job, range_plan(job, "kite", FIRST, LAST_DAY, again=True))

    again(MORNING)
    before = raw_days(pipeline)
    days = [session.trade_date for session in faultless.market.sessions]
    # The first bar, the last one, and every third one in between.
    for absent in (days[:1], [LAST_DAY], days[3:60:3]):
        with without(faultless, "TCS", *absent):
            again(MORNING + timedelta(days=1))
            assert raw_days(pipeline) == before


def test_days_between_two_answers_are_not_withdrawn(faultless: Exchange, pipeline: Pipeline) -> None:
    backfill(faultless, pipeline, MORNING, FIRST, LAST_DAY)
    before = raw_days(pipeline)
    with faultless.run(pipeline, MORNING + timedelta(days=1)) as job:
        (tcs,) = [instrument for instrument in job.instruments if instrument.symbol == "TCS"]
        # So few that they would not be taken for a short answer.
        around = (date(2024, 7, 15), date(2024, 7, 18))
        fetch(
            job,
            [
                *range_plan(job, "kite", *JULY, again=True)[:1],
                *(Request(KITE_DAILY_BARS, (tcs,), d, d) for d in around),
            ],
        )
        assert shortfalls(job) == []
    assert raw_days(pipeline) == before


def as_of(pipeline: Pipeline, moment: datetime) -> list[dict[str, object]]:
    """The bars of two symbols as they were known here at a moment."""
    with patch.dict(os.environ, pipeline.environment, clear=True):
        told: list[dict[str, object]] = bars(["TCS", "M&M"], as_of=moment).to_pylist()
    return told


def raw_days(pipeline: Pipeline) -> Counter[tuple[str, date, bool]]:
    """How many rows raw holds of Kite's bars, by symbol, day, and whether the row withdraws the bar."""
    day = "date(date, 'Asia/Kolkata')"
    rows = pipeline.query(
        f"select symbol, {day}, coalesce(is_withdrawn, false) from `{{d}}_raw.{KITE_DAILY_BARS.name}`"
    )
    return Counter(rows)
