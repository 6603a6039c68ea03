"""What a run asks for, what it lands, and what it says, against simulated providers through the real clients."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from extract.fetching import plan
from extract.fetching.run import (
    build_and_heal,
    daily_plan,
    fetch,
    fetch_quotes,
    quotes_plan,
    range_plan,
    restated_plan,
)
from extract.fetching.shortfalls import shortfalls
from extract.landing.raw import ALPHA_VANTAGE_DAILY_BARS, KITE_DAILY_BARS, KITE_QUOTES, YAHOO_DAILY_BARS
from extract.seeds import final_through, trading_sessions
from extract.warehouse import build as dbt_build
from extract.warehouse.notes import unmerged_batches
from infra.local.providers import ACCESS_TOKEN, Fault
from infra.local.series import TICKS_PER_RUPEE, Bars, same_day_bars
from tests.conftest import Pipeline
from tests.extract.conftest import EVENING, LAST_DAY, MORNING, TRADED, Exchange, assert_as_one_full_build, received

type Row = tuple[str, date, float, int]


def sent(exchange: Exchange, bars: Bars, first: date, last: date) -> list[Row]:
    """The bars of a range, as `received` tells them."""
    rows = []
    for row, instrument in enumerate(exchange.market.instruments):
        for day, session in enumerate(exchange.market.sessions):
            if first <= session.trade_date <= last and bars.is_sent[row, day]:
                close = round(int(bars.close[row, day]) / TICKS_PER_RUPEE, 2)
                rows.append((instrument.symbol, session.trade_date, close, int(bars.volume[row, day])))
    return sorted(rows)


def as_of_evening(exchange: Exchange) -> list[Row]:
    """What Kite sends on the evening of the last day: final bars, and that day's provisional ones."""
    kite = exchange.market.kite
    past = sent(exchange, kite, date(2024, 6, 3), LAST_DAY - timedelta(days=1))
    return sorted(past + sent(exchange, same_day_bars(kite), LAST_DAY, LAST_DAY))


def run_daily(exchange: Exchange, pipeline: Pipeline, now: datetime) -> list[str]:
    """Fetch what is new, and return what did not come."""
    with exchange.run(pipeline, now) as job:
        fetch(job, daily_plan(job))
        return shortfalls(job)


def test_a_run_lands_each_bar_once_and_the_next_one_asks_for_nothing(faultless: Exchange, pipeline: Pipeline) -> None:
    assert run_daily(faultless, pipeline, EVENING) == []
    assert received(pipeline, KITE_DAILY_BARS) == as_of_evening(faultless)
    assert received(pipeline, YAHOO_DAILY_BARS) == sent(faultless, faultless.market.yahoo, date(2024, 6, 3), LAST_DAY)
    with faultless.run(pipeline, EVENING + timedelta(minutes=5)) as job:
        assert daily_plan(job) == []


def test_in_the_morning_only_what_changed_lands_and_the_last_bar_is_final(
    faultless: Exchange, pipeline: Pipeline
) -> None:
    run_daily(faultless, pipeline, EVENING)
    before = received(pipeline, KITE_DAILY_BARS)
    # What comes a minute too early is provisional still, and asked for again.
    assert run_daily(faultless, pipeline, MORNING - timedelta(minutes=1)) == []
    last = sent(faultless, faultless.market.kite, LAST_DAY, LAST_DAY)
    assert received(pipeline, KITE_DAILY_BARS) == sorted(before + last)
    assert run_daily(faultless, pipeline, MORNING) == []
    assert received(pipeline, KITE_DAILY_BARS) == sorted(before + last + last)
    with faultless.run(pipeline, MORNING) as job:
        assert daily_plan(job) == []


def test_a_bar_is_final_from_eight_in_the_morning_of_the_next_day() -> None:
    assert final_through(MORNING) == LAST_DAY
    assert final_through(MORNING - timedelta(seconds=1)) == LAST_DAY - timedelta(days=1)
    assert final_through(EVENING.astimezone(UTC)) == LAST_DAY - timedelta(days=1)


def test_a_run_after_three_missed_days_fills_them(faultless: Exchange, pipeline: Pipeline) -> None:
    days = [session.trade_date for session in trading_sessions(date(2024, 12, 20), LAST_DAY)]
    *_, last_run, _, _, _, today = days
    assert today == LAST_DAY
    run_daily(faultless, pipeline, datetime.combine(last_run, EVENING.timetz()))
    assert max(row[1] for row in received(pipeline, KITE_DAILY_BARS)) == last_run
    assert run_daily(faultless, pipeline, EVENING) == []
    assert set(received(pipeline, KITE_DAILY_BARS)) >= set(as_of_evening(faultless))


def test_a_rewritten_past_is_asked_for_whole_and_ends_on_one_scale(
    faultless: Exchange, built_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = built_pipeline
    with faultless.run(pipeline, MORNING) as job:
        fetch(job, range_plan(job, "auto", date(2024, 6, 3), LAST_DAY, again=False))
    pipeline.build()
    closes = "select trade_date, cast(close as float64) from `{d}.fct_daily_bars` where symbol = 'TCS'"
    before = dict(pipeline.query(closes))
    # A history that is longer than what a run asks for each day, in little.
    monkeypatch.setattr(plan, "DEEP_DAYS", 40)
    faultless.providers.fail(Fault("kite", "restated_history", symbols=("TCS",)))
    with faultless.run(pipeline, MORNING + timedelta(days=1)) as job:
        fetch(job, daily_plan(job))
        pipeline.build()
        broken = dict(pipeline.query(closes))
        assert broken[date(2024, 12, 2)] * 2 == pytest.approx(before[date(2024, 12, 2)], abs=0.02)
        assert broken[date(2024, 6, 3)] == before[date(2024, 6, 3)]
        # What was killed before it was healed, the next run heals.
        (request,) = restated_plan(job)
        assert (request.table, request.first, request.last) == (KITE_DAILY_BARS, date(2024, 6, 1), date(2024, 11, 30))
        assert build_and_heal(job, lambda *_: None, is_hasty=True) == []
        assert build_and_heal(job, lambda *_: None) == ["TCS"]
        # One of the hasty build, one before the history came, one after.
        assert [built.failed for built in job.builds] == [[], [], []]
        assert job.builds[-1].window_start == date(2024, 6, 1)
        assert restated_plan(job) == []
    for day, close in pipeline.query(closes):
        if day in before:
            assert close * 2 == pytest.approx(before[day], abs=0.02), day
    restatements = pipeline.query(
        "select symbol, source_id, kind, round(price_ratio, 3), round(volume_ratio, 3), ex_date"
        " from `{d}.fct_price_restatements` order by ex_date"
    )
    assert restatements == [
        ("TCS", "kite", "share_event", 0.5, 2.0, date(2025, 1, 1)),
    ]


def test_a_restated_history_lands_whole_and_a_repeated_one_not_at_all(faultless: Exchange, pipeline: Pipeline) -> None:
    run_daily(faultless, pipeline, MORNING)
    before = received(pipeline, KITE_DAILY_BARS)
    faultless.providers.fail(Fault("kite", "restated_history", symbols=("TCS",)))
    with faultless.run(pipeline, MORNING) as job:
        fetch(job, range_plan(job, "kite", date(2024, 6, 3), LAST_DAY, again=True))
    added = sorted(set(received(pipeline, KITE_DAILY_BARS)) - set(before))
    assert {row[0] for row in added} == {"TCS"}
    assert len(received(pipeline, KITE_DAILY_BARS)) == len(before) + len(added)
    assert len(added) == sum(row[0] == "TCS" for row in before)


def test_a_past_that_was_rewritten_comes_before_the_actions_are_judged(
    faultless: Exchange, built_pipeline: Pipeline, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faultless.run(built_pipeline, MORNING) as job:
        fetch(job, range_plan(job, "auto", date(2024, 6, 3), LAST_DAY, again=False))
    built_pipeline.build()
    monkeypatch.setattr(plan, "DEEP_DAYS", 40)
    faultless.providers.fail(Fault("kite", "restated_history", symbols=("TCS",)))
    selected: list[str] = []
    run_dbt: Callable[..., None] = dbt_build._run_dbt

    def noted(arguments: list[str], *others: Any) -> None:
        selected.extend(argument for argument in arguments if argument.startswith("tag:"))
        run_dbt(arguments, *others)

    monkeypatch.setattr(dbt_build, "_run_dbt", noted)
    with faultless.run(built_pipeline, MORNING + timedelta(days=1)) as job:
        fetch(job, daily_plan(job))
        assert build_and_heal(job, lambda *_: None) == ["TCS"]
        assert unmerged_batches(job.warehouse()) == []
    (built,) = job.builds
    assert not built.failed
    # The bars twice, the actions once.
    assert selected[:3] == ["tag:bars", "tag:bars", "tag:actions"]
    assert "tag:evidence" not in selected
    # As one full build of the same archive has it.
    assert_as_one_full_build(built_pipeline, replace(pipeline, archive_dir=built_pipeline.archive_dir))


def test_of_a_share_that_was_delisted_only_the_past_is_asked_for(faultless: Exchange, pipeline: Pipeline) -> None:
    with faultless.run(pipeline, EVENING) as usual:
        gone = replace(usual.instruments[0], delisted_on=date(2024, 6, 28))
        job = replace(usual, instruments=[gone, *usual.instruments[1:]])
        assert {i.symbol for request in daily_plan(job) for i in request.instruments} == {*TRADED} - {gone.symbol}
        (past,) = [
            request
            for request in range_plan(job, "kite", date(2024, 6, 1), LAST_DAY, again=True)
            if gone in request.instruments
        ]
        assert past.last == gone.delisted_on
        fetch_quotes(job, quotes_plan(job))
        assert gone.symbol not in {entry.symbol for entry in job.extraction.entries}
        assert shortfalls(job) == []


def test_quotes_give_todays_bar_of_all_symbols_in_one_request(faultless: Exchange, pipeline: Pipeline) -> None:
    with faultless.run(pipeline, EVENING) as job:
        fetch_quotes(job, quotes_plan(job))
        assert shortfalls(job) == []
    assert faultless.providers.answered == {("kite", 200): 1}
    rows = pipeline.query(
        "select symbol, date(last_trade_time, 'Asia/Kolkata'), last_price, volume from `{d}_raw.kite_quotes`"
    )
    assert sorted(rows) == sent(faultless, same_day_bars(faultless.market.kite), LAST_DAY, LAST_DAY)


def test_quotes_that_are_absent_are_served_by_the_next_source(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(Fault("kite", "missing_symbol", symbols=("TCS", "M&M")))
    with faultless.run(pipeline, EVENING) as job:
        fetch_quotes(job, quotes_plan(job))
        (said,) = shortfalls(job)
        assert job.extraction.served(LAST_DAY) == set(TRADED)
    assert said.startswith("kite: empty for M&M, TCS.")
    assert {row[0] for row in received(pipeline, YAHOO_DAILY_BARS)} == {"M&M", "TCS"}
    assert len(pipeline.query(f"select symbol from `{{d}}_raw.{KITE_QUOTES.name}`")) == len(TRADED) - 2


# Each prepared way for one source to fail, and what of it the run must say.
KITE_FAILURES = {
    "rate_limit": "429",
    "error_500": "500",
    "error_502_page": "502",
    "cut_json": "cut off",
    "null_fields": f"without the bar of {LAST_DAY}",
    "closed_connection": "could not be reached",
    "empty": "empty",
    "dead_token": "kite-login",
    "no_plan": "paid Connect plan",
    "not_enabled": "enable the user for the app at developers.kite.trade",
    "address_refused": "allowed addresses at developers.kite.trade",
    "repeated_day": "comes twice",
    "unknown_token": "fresh instruments dump",
    "missing_symbol": "kite_tradingsymbol",
    "stale_last_bar": f"without the bar of {LAST_DAY}",
}
YAHOO_FAILURES = {
    "rate_limit": "limits our requests",
    "error_500": "no JSON",
    "error_502_page": "no JSON",
    "cut_json": "not JSON",
    "closed_connection": "could not be reached",
    "empty": "out of order",
    "missing_symbol": "yahoo_ticker",
    "other_symbol": "is of OTHER.NS, and is not taken",
    "blocked": "blocks our requests (403 Forbidden)",
    "stale_last_bar": f"without the bar of {LAST_DAY}",
}


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        *(("kite", kind, words) for kind, words in KITE_FAILURES.items()),
        *(("yahoo", kind, words) for kind, words in YAHOO_FAILURES.items()),
    ],
)
def test_when_one_source_fails_the_other_serves_every_symbol(
    faultless: Exchange, pipeline: Pipeline, source: str, kind: str, words: str
) -> None:
    faultless.providers.fail(Fault(source, kind, symbols=("TCS",) if kind == "missing_symbol" else ()))
    with faultless.run(pipeline, EVENING) as job:
        fetch(job, daily_plan(job))
        said = shortfalls(job)
        assert job.extraction.served(LAST_DAY) == set(TRADED)
    assert any(sentence.startswith(f"{source}: ") and words in sentence for sentence in said), said
    assert all(sentence.startswith(f"{source}: ") for sentence in said), said
    other = YAHOO_DAILY_BARS if source == "kite" else KITE_DAILY_BARS
    expected = (
        as_of_evening(faultless)
        if source == "yahoo"
        else sent(faultless, faultless.market.yahoo, date(2024, 6, 3), LAST_DAY)
    )
    assert received(pipeline, other) == expected


def test_a_token_that_dies_stops_kite_at_once_and_the_next_run_goes_on(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(Fault("kite", "dead_token", after=4))
    with faultless.run(pipeline, EVENING) as job:
        fetch(job, daily_plan(job))
        outcomes = job.extraction.outcomes()["kite"]
        assert "kite-login" in job.extraction.stopped["kite"]
    assert outcomes["ok"] >= 1
    # At most the requests that were under way with it were refused as well.
    assert 1 <= faultless.providers.answered["kite", 403] <= 4
    faultless.providers.fail()
    faultless.providers.tokens = {ACCESS_TOKEN}
    with faultless.run(pipeline, EVENING) as job:
        plan = daily_plan(job)
        assert len(plan) == len(TRADED) - outcomes["ok"]
        fetch(job, plan)
    assert received(pipeline, KITE_DAILY_BARS) == as_of_evening(faultless)


def test_without_a_session_the_run_degrades_and_names_the_command(faultless: Exchange, pipeline: Pipeline) -> None:
    with faultless.run(pipeline, EVENING, KITE_ACCESS_TOKEN="") as job:
        fetch(job, daily_plan(job))
        (said,) = shortfalls(job)
        assert job.extraction.served(LAST_DAY) == set(TRADED)
    assert "no session yet: run `trading-data kite-login`" in said
    assert not [key for key in faultless.providers.answered if key[0] == "kite"]


def test_when_no_source_serves_a_symbol_the_run_names_it(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(*(Fault(source, "missing_symbol", symbols=("TCS",)) for source in ("kite", "yahoo")))
    with faultless.run(pipeline, EVENING) as job:
        fetch(job, daily_plan(job))
        assert shortfalls(job)[-1] == f"no source sent the bar of {LAST_DAY} for TCS"


def test_the_ledger_tells_what_became_of_each_symbol(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(
        Fault("kite", "error_500", symbols=("TCS",), times=2), Fault("kite", "unknown_token", symbols=("M&M",))
    )
    run_daily(faultless, pipeline, EVENING)
    rows = pipeline.query(
        "select symbol, outcome, error_class, attempts, row_count, first_date, last_date"
        " from `{d}_raw.extract_requests` where source_id = 'kite' and symbol in ('TCS', 'M&M', 'ABB') order by symbol"
    )
    assert rows[0] == ("ABB", "ok", None, 1, 145, date(2024, 6, 3), LAST_DAY)
    assert rows[1] == ("M&M", "refused", "SourceRefused", 1, 0, None, None)
    assert rows[2] == ("TCS", "ok", None, 3, 145, date(2024, 6, 3), LAST_DAY)
    for secret in (ACCESS_TOKEN, "simulatedkey"):
        assert not pipeline.query(
            f"select message from `{{d}}_raw.extract_requests` where strpos(message, '{secret}') > 0"
        )


def test_a_backfill_goes_on_where_it_stopped(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(Fault("kite", "dead_token", after=4))
    first = date(2024, 6, 1)
    with faultless.run(pipeline, MORNING) as job:
        plan = range_plan(job, "kite", first, LAST_DAY, again=False)
        fetch(job, plan)
        done = job.extraction.outcomes()["kite"]["ok"]
    faultless.providers.fail()
    faultless.providers.tokens = {ACCESS_TOKEN}
    with faultless.run(pipeline, MORNING) as job:
        rest = range_plan(job, "kite", first, LAST_DAY, again=False)
        assert len(rest) == len(TRADED) - done
        fetch(job, rest)
    with faultless.run(pipeline, MORNING) as job:
        assert range_plan(job, "kite", first, LAST_DAY, again=False) == []
        # Fifteen years are three windows of Kite's, and one request to Yahoo.
        assert len(range_plan(job, "kite", date(2010, 1, 1), LAST_DAY, again=True)) == 3 * len(TRADED)
        assert len(range_plan(job, "yahoo", date(2010, 1, 1), LAST_DAY, again=True)) == len(TRADED)
    assert received(pipeline, KITE_DAILY_BARS) == sent(faultless, faultless.market.kite, date(2024, 6, 3), LAST_DAY)


def test_one_in_five_requests_failing_loses_nothing_doubles_nothing_and_changes_nothing(
    faultless: Exchange, pipeline: Pipeline
) -> None:
    kinds = ("latency", "rate_limit", "error_500", "error_502_page", "cut_json", "null_fields", "closed_connection")
    # Yahoo's null close is a row of its own, and its first rate limit ends the run.
    faultless.providers.fail(
        *(
            Fault(source, kind, share=0.2 / len(kinds), seconds=0.2)
            for source in ("kite", "yahoo")
            for kind in kinds
            if source == "kite" or kind not in ("rate_limit", "null_fields")
        )
    )
    for _ in range(3):
        with faultless.run(pipeline, EVENING) as job:
            fetch(job, daily_plan(job))
    assert received(pipeline, KITE_DAILY_BARS) == as_of_evening(faultless)
    assert received(pipeline, YAHOO_DAILY_BARS) == sent(faultless, faultless.market.yahoo, date(2024, 6, 3), LAST_DAY)


def test_a_range_that_ends_in_the_past_is_not_blamed_for_today(faultless: Exchange, pipeline: Pipeline) -> None:
    with faultless.run(pipeline, MORNING) as job:
        fetch(job, range_plan(job, "auto", date(2024, 6, 3), date(2024, 6, 28), again=False))
        assert shortfalls(job) == []


def test_a_wait_longer_than_a_run_gives_the_source_up_at_once(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(Fault("kite", "rate_limit", seconds=3600))
    began = time.monotonic()
    with faultless.run(pipeline, EVENING) as job:
        fetch(job, daily_plan(job))
        assert job.extraction.stopped["kite"] == "Kite answered 429: Too many requests"
        assert job.extraction.served(LAST_DAY) == set(TRADED)
    assert time.monotonic() - began < 60


def test_a_token_store_that_cannot_be_used_degrades_the_run(faultless: Exchange, pipeline: Pipeline) -> None:
    store = pipeline.archive_dir.parent / "session.json"
    store.write_text("{}")
    store.chmod(0o644)
    with faultless.run(pipeline, EVENING, KITE_ACCESS_TOKEN="", KITE_TOKEN_STORE=str(store)) as job:
        fetch(job, daily_plan(job))
        (said,) = shortfalls(job)
        assert job.extraction.served(LAST_DAY) == set(TRADED)
    assert "chmod 600" in said


def test_a_last_row_without_prices_is_not_the_bar_of_the_day(faultless: Exchange, pipeline: Pipeline) -> None:
    faultless.providers.fail(Fault("yahoo", "null_last_row"), Fault("kite", "dead_token"))
    with faultless.run(pipeline, MORNING) as job:
        fetch(job, daily_plan(job))
        assert job.extraction.served(LAST_DAY) == set()
        assert f"no source sent the bar of {LAST_DAY}" in shortfalls(job)[-1]
    with faultless.run(pipeline, MORNING) as job:
        assert {r.table.source_id for r in daily_plan(job)} == {"kite", "yahoo"}


def test_the_third_opinion_keeps_to_its_budget(faultless: Exchange, pipeline: Pipeline) -> None:
    with faultless.run(pipeline, EVENING, ALPHA_VANTAGE_REQUESTS_PER_DAY="2") as job:
        # Without marts there is no dispute, and nobody is asked.
        assert daily_plan(job, "alpha_vantage") == []
    assert pipeline.query(f"select count(*) from `{{d}}_raw.{ALPHA_VANTAGE_DAILY_BARS.name}`") == [(0,)]


def test_what_an_interrupted_run_archived_is_loaded_by_the_next(faultless: Exchange, pipeline: Pipeline) -> None:
    run_daily(faultless, pipeline, EVENING)
    expected = received(pipeline, KITE_DAILY_BARS)
    with pipeline.warehouse() as warehouse:
        warehouse.query(f"delete from `{warehouse.raw}.{KITE_DAILY_BARS.name}` where true")
        warehouse.query(f"delete from `{warehouse.raw}.extract_requests` where true")
    with faultless.run(pipeline, EVENING) as job:
        assert daily_plan(job) == []
    assert received(pipeline, KITE_DAILY_BARS) == expected
