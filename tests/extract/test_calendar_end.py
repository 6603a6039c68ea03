"""Beyond the end of the calendar: what a run fetches and says, what bars deny, and what a list makes known."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.fetching.holes import read_holes, session_dates
from extract.landing.announced import read_announcements
from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, Session, calendar_end, listed_instruments, trading_sessions
from extract.settings import PROJECT_DIR
from infra.local import market as markets
from infra.local.market import draft_market
from infra.local.providers import Providers, serving
from infra.local.series import Defect
from tests.conftest import Pipeline
from tests.extract.conftest import FAST, Exchange, received
from tests.extract.holiday_lists import HOLIDAYS, json_list

SYMBOLS = ("ABB", "ITC", "TCS")
FIRST_ASSUMED = date(2027, 1, 4)
# Nobody has announced it, and Yahoo shows it as flat bars.
HOLIDAY = date(2027, 1, 6)
NEXT = date(2027, 1, 7)
# A session that is announced.
SUNDAY = date(2027, 1, 10)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Providers of some months, to a January whose sessions are not what a calendar without its holidays has."""
    sessions = [s for s in trading_sessions(date(2026, 11, 2), date(2027, 1, 12)) if s.trade_date != HOLIDAY]
    sessions.append(Session(SUNDAY, datetime.combine(SUNDAY, time(15, 30), EXCHANGE_ZONE), is_short=False))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(markets, "trading_sessions", lambda *_: sorted(sessions, key=lambda s: s.trade_date))
        market = draft_market(first=date(2026, 11, 2), last=date(2027, 1, 12), symbols=SYMBOLS)
    market.phantom_days.append(HOLIDAY)
    market.defects.append(Defect("is_on_session", "yahoo", SYMBOLS, HOLIDAY, "A flat bar on a holiday."))
    providers = Providers(market, limits=FAST)
    with serving(providers) as address:
        yield Exchange(providers, address)


def _at(exchange: Exchange, pipeline: Pipeline, day: date, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The command on the evening of a day: its exit status, and what it reports."""
    now = datetime.combine(day, time(18, 30), EXCHANGE_ZONE)
    exchange.providers.clock = lambda: now
    symbols = () if arguments[0] == "import" else ("--symbols", ",".join(SYMBOLS))
    done = subprocess.run(
        [sys.executable, "-m", "tests.extract.command_at", now.isoformat(), *arguments, *symbols, "--json"],
        env=exchange.environment(pipeline),
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    return done.returncode, json.loads(done.stdout)


def _assumed(day: date) -> str:
    return (
        f"the trading calendar ends on 2026-12-31: each weekday after it, to {day}, is assumed to be a session."
        " Download the exchange's list of the holidays of 2027, and type: trading-data import FILE"
    )


def _calendar(pipeline: Pipeline) -> dict[date, tuple[str, bool | None]]:
    """The sessions of the first half of January 2027, each with its kind and whether it is confirmed."""
    rows = pipeline.query(
        "select trade_date, kind, is_confirmed from `{d}.dim_trading_sessions`"
        " where trade_date between '2027-01-01' and '2027-01-12'"
    )
    return {day: (kind, is_confirmed) for day, kind, is_confirmed in rows}


def _checked(pipeline: Pipeline, day: date) -> set[tuple[str, bool, bool]]:
    """Of the bars of a day, the source, whether they are valid, and whether they are said to be of no session."""
    rows = pipeline.query(
        "select source_id, is_valid, 'is_on_session' in unnest(failed_checks) from `{d}.fct_daily_bars`"
        f" where trade_date = '{day}'"
    )
    return {(source_id, is_valid, is_off_session) for source_id, is_valid, is_off_session in rows}


def test_a_year_without_a_list_is_assumed_confirmed_denied_and_then_known(
    exchange: Exchange, built_pipeline: Pipeline, tmp_path: Path
) -> None:
    assert calendar_end() < FIRST_ASSUMED, "move this test to the next year that the seeds do not know"
    pipeline = replace(built_pipeline, runs_data_tests=False)

    status, report = _at(exchange, pipeline, FIRST_ASSUMED, "run")
    assert (status, report["due"], report["shortfalls"]) == (3, str(FIRST_ASSUMED), [_assumed(FIRST_ASSUMED)])
    assert {row[0] for row in received(pipeline, KITE_DAILY_BARS) if row[1] == FIRST_ASSUMED} == set(SYMBOLS)
    sessions = _calendar(pipeline)
    assert (sessions[FIRST_ASSUMED], sessions[HOLIDAY]) == (("assumed", True), ("assumed", False))
    # What is here is not asked for again, and the status stays.
    status, report = _at(exchange, pipeline, FIRST_ASSUMED, "extract")
    assert (status, report["outcomes"], report["shortfalls"]) == (3, {}, [_assumed(FIRST_ASSUMED)])

    status, report = _at(exchange, pipeline, HOLIDAY, "run")
    assert (status, report["due"]) == (3, str(HOLIDAY))
    assert report["shortfalls"][0] == _assumed(HOLIDAY)
    assert len(report["shortfalls"]) > 1
    assert _calendar(pipeline)[HOLIDAY] == ("assumed", False)

    status, report = _at(exchange, pipeline, NEXT, "run")
    assert (status, report["due"], report["shortfalls"]) == (3, str(NEXT), [_assumed(NEXT)])
    sessions = _calendar(pipeline)
    assert HOLIDAY not in sessions
    assert sessions[NEXT] == ("assumed", True)
    assert _checked(pipeline, HOLIDAY) == {("yahoo", False, True)}
    # On its own evening Yahoo's bar stands before Kite's.
    assert _checked(pipeline, NEXT) == {("yahoo", True, False)}
    with pipeline.warehouse() as warehouse:
        assert HOLIDAY not in session_dates(warehouse, date(2026, 12, 1), NEXT)
        holes = read_holes(warehouse, ["kite"], listed_instruments(SYMBOLS), date(2026, 12, 1), NEXT)
    assert holes == []

    # The exchange's list, and a session of a Sunday that it does not name.
    listed = tmp_path / "holidays.json"
    listed.write_text(json.dumps(json_list(HOLIDAYS)))
    sunday = tmp_path / "sunday.csv"
    sunday.write_text(
        "trade_date,kind,opens_at_ist,closes_at_ist,is_short,reason\n"
        f"{SUNDAY},special,09:15:00,15:30:00,false,Union Budget on a Sunday\n"
    )
    status, report = _at(exchange, pipeline, NEXT, "import", str(listed), str(sunday))
    assert (status, [file["outcome"] for file in report["files"]]) == (0, ["taken", "taken"])
    sessions = _calendar(pipeline)
    assert {kind for kind, _ in sessions.values()} == {"regular", "special"}
    assert (HOLIDAY in sessions, sessions[SUNDAY]) == (False, ("special", None))
    assert pipeline.query("select calendar_ends_on from `{d}_quality.data_status`") == [(date(2027, 12, 31),)]
    merged = pipeline.marts()

    status, report = _at(exchange, pipeline, NEXT, "extract")
    assert (status, report["shortfalls"]) == (0, [])
    status, report = _at(exchange, pipeline, SUNDAY, "extract")
    assert (status, report["due"], report["shortfalls"]) == (0, str(SUNDAY), [])
    assert {row[0] for row in received(pipeline, KITE_DAILY_BARS) if row[1] == SUNDAY} == set(SYMBOLS)

    # Of another machine there is the archive alone; all at once makes what the steps made.
    assert read_announcements(pipeline.archive).holiday_lists.keys() == {2027}
    with pipeline.warehouse() as warehouse:
        for table in ("kite_daily_bars", "yahoo_daily_bars", "kite_instruments", "extract_requests"):
            late = datetime.combine(NEXT + timedelta(days=1), time(), EXCHANGE_ZONE).isoformat()
            warehouse.query(f"delete from `{warehouse.raw}.{table}` where _extracted_at > timestamp('{late}')")
    pipeline.build(full_refresh=True)
    assert pipeline.marts() == merged
