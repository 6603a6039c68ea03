"""Each provider through its real client: what a good answer becomes, and what each way to fail becomes."""

import json
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from extract.errors import SourceRefused, SourceUnavailable
from extract.landing.raw import (
    ALPHA_VANTAGE_DAILY_BARS,
    KITE_DAILY_BARS,
    KITE_INSTRUMENTS,
    KITE_QUOTES,
    YAHOO_DAILY_BARS,
)
from extract.seeds import EXCHANGE_ZONE, listed_instruments
from extract.sources import Answer, Request, Source
from extract.sources.alpha_vantage import AlphaVantage
from extract.sources.kite import Kite
from extract.sources.yahoo import Yahoo
from infra.doubles import loopback
from infra.doubles.proxy import Answered, Asked, Proxy
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, API_KEY, Fault, Providers, serving
from tests.extract.conftest import FAST

FIRST, LAST = date(2024, 6, 3), date(2024, 12, 31)
NOW = datetime(2025, 1, 1, 8, 0, tzinfo=EXCHANGE_ZONE)
THIRD_KEY = "thirdkey"
SYMBOLS = ("ABB", "ACC", "BAJAJ-AUTO", "M&M")
INSTRUMENTS = {instrument.symbol: instrument for instrument in listed_instruments(SYMBOLS)}
TABLES = {"kite": KITE_DAILY_BARS, "yahoo": YAHOO_DAILY_BARS, "alpha_vantage": ALPHA_VANTAGE_DAILY_BARS}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Providers, dict[str, Source]]]:
    """Simulated providers, and the three sources that ask them."""
    providers = Providers(draft_market(first=FIRST, last=LAST, symbols=SYMBOLS), clock=lambda: NOW, limits=FAST)
    # ABB splits 2:1 in September; M&M pays a dividend in November.
    providers.market.act(0, 70, split_ratio=2.0)
    providers.market.act(3, 110, dividend=1.5)
    with serving(providers) as address:
        kite = Kite(
            API_KEY, ACCESS_TOKEN, base_url=address, requests_per_second=500, clock=lambda: NOW, sleep=time.sleep
        )
        yahoo = Yahoo(base_url=address, requests_per_second=500, clock=lambda: NOW, sleep=time.sleep)
        third = AlphaVantage(THIRD_KEY, base_url=address, clock=lambda: NOW, sleep=lambda _: None)
        yield providers, {"kite": kite, "yahoo": yahoo, "alpha_vantage": third}
        yahoo.close()
        third.close()


@pytest.fixture
def healthy(served: tuple[Providers, dict[str, Source]]) -> tuple[Providers, dict[str, Source]]:
    """Nothing is wrong yet."""
    served[0].fail()
    served[0].tokens = {ACCESS_TOKEN}
    served[0].answered.clear()
    return served


def bars(source: Source, symbol: str, first: date = FIRST, last: date = LAST) -> list[dict[str, object]]:
    table = TABLES[source.source_id]
    rows = source.fetch(Request(table, (INSTRUMENTS[symbol],), first, last))[table.name]
    assert rows.schema == table.provider_columns
    listed: list[dict[str, object]] = rows.to_pylist()
    return listed


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_kite_and_yahoo_send_the_same_days_in_their_own_way(
    healthy: tuple[Providers, dict[str, Source]], symbol: str
) -> None:
    providers, sources = healthy
    kite, yahoo = bars(sources["kite"], symbol), bars(sources["yahoo"], symbol)
    days = [session.trade_date for session in providers.market.sessions]
    for rows in (kite, yahoo):
        assert [row["date"].astimezone(EXCHANGE_ZONE).date() for row in rows] == days  # type: ignore[attr-defined]
        assert {row["symbol"] for row in rows} == {symbol}
    # Yahoo's prices are 32-bit floats, which come as they are.
    assert any(row["close"] != round(float(str(row["close"])), 2) for row in yahoo)
    for of_kite, of_yahoo in zip(kite, yahoo, strict=True):
        assert of_yahoo["close"] == pytest.approx(of_kite["close"], rel=1e-6)
        assert of_yahoo["volume"] == of_kite["volume"]


def test_yahoo_sends_corporate_actions_on_their_days(healthy: tuple[Providers, dict[str, Source]]) -> None:
    providers, sources = healthy
    ex_split, ex_dividend = (providers.market.sessions[day].trade_date for day in (70, 110))
    for symbol, day, expected in (("ABB", ex_split, (0.0, 2.0)), ("M&M", ex_dividend, (1.5, 0.0))):
        answer = sources["yahoo"].fetch(Request(YAHOO_DAILY_BARS, (INSTRUMENTS[symbol],), FIRST, LAST))
        (row,) = answer["yahoo_corporate_actions"].to_pylist()
        assert row["date"].astimezone(EXCHANGE_ZONE).date() == day
        assert (row["dividend"], row["split_ratio"]) == expected


def test_kite_is_asked_in_windows_that_reach_to_the_end_of_their_last_day(
    healthy: tuple[Providers, dict[str, Source]],
) -> None:
    providers, sources = healthy
    rows = bars(sources["kite"], "ABB", date(2010, 1, 1), LAST)
    assert len(rows) == len(providers.market.sessions)
    # 5,479 days, of which the server allows 2,000 at a time.
    assert providers.answered["kite", 200] >= 3
    assert ("kite", 400) not in providers.answered


def test_kites_quotes_are_of_the_day_and_absent_keys_stay_absent(
    healthy: tuple[Providers, dict[str, Source]],
) -> None:
    providers, sources = healthy
    providers.fail(Fault("kite", "missing_symbol", symbols=("ACC",)))
    asked = Request(KITE_QUOTES, tuple(INSTRUMENTS.values()), LAST, LAST)
    rows = sources["kite"].fetch(asked)[KITE_QUOTES.name].to_pylist()
    assert [row["symbol"] for row in rows] == ["ABB", "BAJAJ-AUTO", "M&M"]
    assert {row["last_trade_time"] for row in rows} == {datetime(2024, 12, 31, 10, 0, tzinfo=UTC)}
    assert all(row["timestamp"] == NOW for row in rows)


def test_a_token_that_changed_since_the_dump_is_found_in_a_fresh_one(
    healthy: tuple[Providers, dict[str, Source]],
) -> None:
    providers, sources = healthy
    sources["kite"].fetch(Request(KITE_INSTRUMENTS, (), LAST, LAST))
    providers.fail(Fault("kite", "unknown_token", times=1))
    answer = sources["kite"].fetch(Request(KITE_DAILY_BARS, (INSTRUMENTS["ABB"],), FIRST, LAST))
    assert answer[KITE_DAILY_BARS.name].num_rows == len(providers.market.sessions)
    # The fresh dump is received too, and not lost; the next answer has none.
    assert answer[KITE_INSTRUMENTS.name].num_rows > 0
    assert providers.answered["kite", 400] == 1
    again = sources["kite"].fetch(Request(KITE_DAILY_BARS, (INSTRUMENTS["ABB"],), FIRST, LAST))
    assert set(again) == {KITE_DAILY_BARS.name}


def test_yahoos_bad_answer_is_not_remembered(healthy: tuple[Providers, dict[str, Source]]) -> None:
    providers, sources = healthy
    # A range in the past, of which yfinance keeps the answer.
    providers.fail(Fault("yahoo", "cut_json", times=1))
    with pytest.raises(SourceUnavailable):
        bars(sources["yahoo"], "ACC", FIRST, date(2024, 7, 1))
    assert len(bars(sources["yahoo"], "ACC", FIRST, date(2024, 7, 1))) == 20


def test_yahoo_leaves_nothing_in_the_home_folder() -> None:
    from yfinance.cache import _CookieDBManager, _TzDBManager

    for manager in (_TzDBManager, _CookieDBManager):
        assert not Path(manager._cache_dir).is_relative_to(Path.home())


def test_a_null_last_row_is_landed_as_it_came(healthy: tuple[Providers, dict[str, Source]]) -> None:
    providers, sources = healthy
    providers.fail(Fault("yahoo", "null_last_row"))
    last = bars(sources["yahoo"], "ABB")[-1]
    assert [last[name] for name in ("open", "high", "low", "close")] == [None] * 4
    assert last["volume"]


REFUSED, UNAVAILABLE = SourceRefused, SourceUnavailable


@pytest.mark.parametrize(
    ("source_id", "kind", "error_class", "stops_source", "words"),
    [
        ("kite", "latency", UNAVAILABLE, False, "could not be reached"),
        ("kite", "rate_limit", UNAVAILABLE, False, "429"),
        ("kite", "error_500", UNAVAILABLE, False, "500"),
        ("kite", "error_502_page", UNAVAILABLE, False, "502"),
        ("kite", "cut_json", UNAVAILABLE, False, "no JSON"),
        ("kite", "other_zone", UNAVAILABLE, False, "T00:00:00-0500, which is not in the time zone Asia/Kolkata"),
        ("kite", "closed_connection", UNAVAILABLE, False, "could not be reached"),
        ("kite", "dead_token", REFUSED, True, "run `trading-data kite-login`"),
        ("kite", "no_plan", REFUSED, True, "needs a paid Connect plan"),
        ("kite", "not_enabled", REFUSED, True, "(The user is not enabled for the app.); enable the user for the app"),
        ("kite", "address_refused", REFUSED, True, "add its public address to the app's allowed addresses"),
        ("kite", "repeated_day", UNAVAILABLE, False, "2024-06-03 comes twice, with different values"),
        ("kite", "unknown_token", REFUSED, False, "cannot be had from Kite any more"),
        ("yahoo", "latency", UNAVAILABLE, False, "could not be reached"),
        ("yahoo", "rate_limit", UNAVAILABLE, True, "the next run asks again"),
        ("yahoo", "error_500", UNAVAILABLE, False, "it answered 500, with no JSON"),
        ("yahoo", "error_502_page", UNAVAILABLE, False, "it answered 502, with no JSON"),
        ("yahoo", "cut_json", UNAVAILABLE, False, "not JSON"),
        ("yahoo", "closed_connection", UNAVAILABLE, False, "could not be reached"),
        ("yahoo", "empty", UNAVAILABLE, False, "sent no prices"),
        ("yahoo", "other_zone", UNAVAILABLE, False, "meta.exchangeTimezoneName is 'America/New_York'"),
        ("yahoo", "missing_symbol", REFUSED, False, "correct yahoo_ticker"),
        ("yahoo", "other_symbol", REFUSED, False, "for ABB.NS is of OTHER.NS, and is not taken"),
        ("yahoo", "repeated_day", UNAVAILABLE, False, "2024-06-03 comes twice, with different values"),
        ("yahoo", "blocked", UNAVAILABLE, True, "blocks our requests (403 Forbidden)"),
        ("alpha_vantage", "latency", UNAVAILABLE, False, "could not be reached"),
        ("alpha_vantage", "rate_limit", UNAVAILABLE, False, "429"),
        ("alpha_vantage", "error_500", UNAVAILABLE, False, "500"),
        ("alpha_vantage", "error_502_page", UNAVAILABLE, False, "502"),
        ("alpha_vantage", "cut_json", UNAVAILABLE, False, "not JSON"),
        ("alpha_vantage", "closed_connection", UNAVAILABLE, False, "could not be reached"),
        ("alpha_vantage", "empty", UNAVAILABLE, False, "sent nothing"),
        ("alpha_vantage", "burst", UNAVAILABLE, False, "too fast"),
        ("alpha_vantage", "daily_limit", UNAVAILABLE, True, "for today"),
        ("alpha_vantage", "other_symbol", REFUSED, False, "for ABB.BSE is of IBM, and is not taken"),
        ("alpha_vantage", "missing_symbol", REFUSED, False, "correct alpha_vantage_ticker"),
        ("alpha_vantage", "bad_key", REFUSED, True, "correct ALPHA_VANTAGE_API_KEY"),
        ("alpha_vantage", "premium", REFUSED, True, "paid plan"),
    ],
)
def test_no_failure_ends_as_an_empty_success(
    healthy: tuple[Providers, dict[str, Source]],
    source_id: str,
    kind: str,
    error_class: type[SourceRefused | SourceUnavailable],
    stops_source: bool,
    words: str,
) -> None:
    providers, sources = healthy
    bars(sources[source_id], "ABB")
    # Longer than any source waits.
    providers.fail(Fault(source_id, kind, seconds=8 if kind == "latency" else 3))
    with pytest.raises(error_class) as caught:
        bars(sources[source_id], "ABB")
    error = caught.value
    assert isinstance(error, SourceRefused | SourceUnavailable)
    assert error.stops_source == stops_source
    assert words in str(error)
    if isinstance(error, SourceUnavailable):
        assert error.is_rate_limit == (kind in ("rate_limit", "burst"))
        assert error.retry_after == {("kite", "rate_limit"): 3, ("alpha_vantage", "burst"): 1}.get((source_id, kind))
    for secret in (ACCESS_TOKEN, API_KEY, THIRD_KEY):
        assert secret not in str(error)


_QUOTE = "indicators.quote.0"


@contextmanager
def yahoo_with(providers: Providers, place: str, value: object, mark: bytes = b"") -> Iterator[Yahoo]:
    """Yahoo, of whose charts one value is changed; each chart has a dividend and a split."""

    def changed(_: Asked, pass_on: Callable[[], Answered]) -> Answered:
        answer = pass_on()
        body = json.loads(answer.body)
        (chart,) = body["chart"]["result"]
        chart["events"] = {
            "dividends": {"7": {"date": chart["timestamp"][5], "amount": 1.5}},
            "splits": {"7": {"date": chart["timestamp"][5], "numerator": 2.0, "denominator": 1.0}},
        }
        *ways, last = (int(key) if key.isdigit() and key != "7" else key for key in place.split("."))
        here = chart
        for key in ways:
            here = here[key]
        here[last] = value
        return Answered(answer.status, answer.headers, mark + json.dumps(body).encode())

    with serving(providers) as address, loopback.serving(Proxy(address, changed)) as before:
        yahoo = Yahoo(base_url=before.address, requests_per_second=500, clock=lambda: NOW, sleep=time.sleep)
        yield yahoo
        yahoo.close()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (f"{_QUOTE}.close.3", "12.5"),
        (f"{_QUOTE}.close.3", math.nan),
        (f"{_QUOTE}.open.3", True),
        (f"{_QUOTE}.high.3", math.inf),
        (f"{_QUOTE}.low.3", 1e15),
        (f"{_QUOTE}.volume.3", 2**63),
        (f"{_QUOTE}.volume.3", 12.5),
        ("indicators.adjclose.0.adjclose.3", "12.5"),
        ("timestamp.3", 1733111100.5),
        ("timestamp.3", 1733111100000),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_bar_that_yfinance_would_make_a_number_or_nothing_of_costs_itself_alone_and_is_named(
    healthy: tuple[Providers, dict[str, Source]], place: str, value: object, mark: bytes
) -> None:
    providers, sources = healthy
    expected = bars(sources["yahoo"], "ACC")
    (gone,) = expected[3:4]
    with yahoo_with(providers, place, value, mark) as yahoo:
        answer = yahoo.fetch(Request(YAHOO_DAILY_BARS, (INSTRUMENTS["ACC"],), FIRST, LAST))
    assert answer[YAHOO_DAILY_BARS.name].to_pylist() == [row for row in expected if row is not gone]
    assert answer["yahoo_corporate_actions"].num_rows == 1
    (said,) = answer.left_out
    day = None if place == "timestamp.3" else date(2024, 6, 6)
    named = day or "a bar without a day"
    assert said.startswith(f"Yahoo sent 1 bars that cannot be read, which are left out: {named} ({place} is ")
    assert answer.unread == {day}


@pytest.mark.parametrize(
    ("place", "value", "left"),
    [
        ("events", [], []),
        ("events.dividends", [], [(0.0, 2.0)]),
        ("events.splits", None, [(1.5, 0.0)]),
        ("events.dividends.7", "5.0", [(0.0, 2.0)]),
        ("events.dividends.7.amount", True, [(0.0, 2.0)]),
        ("events.dividends.7.amount", "5.0", [(0.0, 2.0)]),
        ("events.dividends.7.amount", math.nan, [(0.0, 2.0)]),
        ("events.dividends.7.amount", None, [(0.0, 2.0)]),
        ("events.dividends.7.amount", 1e300, [(0.0, 2.0)]),
        ("events.dividends.7.date", 1733111100.5, [(0.0, 2.0)]),
        ("events.splits.7.denominator", "1", [(1.5, 0.0)]),
        ("events.splits.7.numerator", "2", [(1.5, 0.0)]),
        ("events.splits.7", {"date": 1733111100, "numerator": 1e308, "denominator": 1e-308}, [(1.5, 0.0)]),
        ("events.splits.7", {"date": 1733111100, "numerator": 1e-308, "denominator": 1e10}, [(1.5, 0.0)]),
    ],
)
def test_an_event_that_cannot_be_read_costs_itself_alone_and_is_named(
    healthy: tuple[Providers, dict[str, Source]], place: str, value: object, left: list[tuple[float, float]]
) -> None:
    providers, sources = healthy
    expected = bars(sources["yahoo"], "ACC")
    with yahoo_with(providers, place, value) as yahoo:
        answer = yahoo.fetch(Request(YAHOO_DAILY_BARS, (INSTRUMENTS["ACC"],), FIRST, LAST))
    assert answer[YAHOO_DAILY_BARS.name].to_pylist() == expected
    actions = answer["yahoo_corporate_actions"].to_pylist()
    assert [(row["dividend"], row["split_ratio"]) for row in actions] == left
    (said,) = answer.left_out
    assert re.match(
        r"(an event of Yahoo's (dividends|splits) is|Yahoo's (events|dividends|splits) are) left out: ", said
    )
    assert f"({place}" in said
    assert answer.unread == set()


def test_an_event_of_a_kind_that_is_not_asked_for_costs_nothing(healthy: tuple[Providers, dict[str, Source]]) -> None:
    providers, sources = healthy
    expected = bars(sources["yahoo"], "ACC")
    with yahoo_with(providers, "events.capitalGains", {"7": {"date": "soon"}}) as yahoo:
        assert bars(yahoo, "ACC") == expected


def test_a_chart_of_weeks_is_refused_by_its_place(healthy: tuple[Providers, dict[str, Source]]) -> None:
    with (
        yahoo_with(healthy[0], "meta.dataGranularity", "1wk") as yahoo,
        pytest.raises(SourceUnavailable, match=r"malformed: meta\.dataGranularity is '1wk'"),
    ):
        bars(yahoo, "ACC")


def test_a_null_volume_of_yahoo_stays_null(healthy: tuple[Providers, dict[str, Source]]) -> None:
    providers, sources = healthy
    expected = bars(sources["yahoo"], "ACC")
    expected[3]["volume"] = None
    with yahoo_with(providers, f"{_QUOTE}.volume.3", None) as yahoo:
        assert bars(yahoo, "ACC") == expected


def test_kites_answer_without_candles_is_empty_and_not_an_error(
    healthy: tuple[Providers, dict[str, Source]],
) -> None:
    providers, sources = healthy
    providers.fail(Fault("kite", "empty"))
    # The run counts it as `empty`, since it asks only for days with sessions.
    assert bars(sources["kite"], "ABB") == []


def test_a_share_that_kite_does_not_list_is_refused_by_name(healthy: tuple[Providers, dict[str, Source]]) -> None:
    providers, sources = healthy
    providers.fail(Fault("kite", "missing_symbol", symbols=("ACC",)))
    sources["kite"].fetch(Request(KITE_INSTRUMENTS, (), LAST, LAST))
    with pytest.raises(SourceRefused, match="ACC is not in Kite's instruments dump"):
        bars(sources["kite"], "ACC")
    providers.fail()
    sources["kite"].fetch(Request(KITE_INSTRUMENTS, (), LAST, LAST))


def _faulty_month(
    healthy: tuple[Providers, dict[str, Source]], source_id: str, kind: str
) -> tuple[list[dict[str, object]], Answer]:
    """A month's bars of ABB, and the answer for the same days with a fault."""
    providers, sources = healthy
    first = LAST - timedelta(days=30)
    right = bars(sources[source_id], "ABB", first)
    providers.fail(Fault(source_id, kind))
    return right, sources[source_id].fetch(Request(TABLES[source_id], (INSTRUMENTS["ABB"],), first, LAST))


@pytest.mark.parametrize("source_id", ["kite", "yahoo", "alpha_vantage"])
def test_a_bar_of_a_day_that_has_not_come_is_left_out_and_named(
    healthy: tuple[Providers, dict[str, Source]], source_id: str
) -> None:
    right, answer = _faulty_month(healthy, source_id, "day_to_come")
    assert answer[TABLES[source_id].name].to_pylist() == right
    (said,) = answer.left_out
    assert said.endswith("sent 1 rows of days that have not come, which are left out: 2025-02-10")


@pytest.mark.parametrize(("source_id", "lost"), [("kite", "holds ["), ("alpha_vantage", "it has no high")])
def test_a_bar_of_which_a_part_is_null_or_missing_is_left_out_and_named(
    healthy: tuple[Providers, dict[str, Source]], source_id: str, lost: str
) -> None:
    right, answer = _faulty_month(healthy, source_id, "null_fields")
    kept = [row for row in right if _day(row["date"]) != LAST]
    assert answer[TABLES[source_id].name].to_pylist() == kept
    assert len(kept) == len(right) - 1
    (said,) = answer.left_out
    assert f"sent 1 bars that cannot be read, which are left out: {LAST} (" in said
    assert lost in said
    assert answer.unread == {LAST}


def _day(sent: object) -> date:
    assert isinstance(sent, date)
    return sent.astimezone(EXCHANGE_ZONE).date() if isinstance(sent, datetime) else sent


@pytest.mark.parametrize("source_id", ["kite", "yahoo"])
def test_what_a_source_gets_wrong_about_its_last_bar_lands_as_it_came(
    healthy: tuple[Providers, dict[str, Source]], source_id: str
) -> None:
    providers, sources = healthy
    right = bars(sources[source_id], "ABB")
    providers.fail(Fault(source_id, "stale_last_bar"))
    assert bars(sources[source_id], "ABB") == right[:-1]
    providers.fail(Fault(source_id, "repeated_last_bar"))
    *_, before, last = bars(sources[source_id], "ABB")
    assert [last[name] for name in ("close", "volume")] == [before[name] for name in ("close", "volume")]
    assert last["date"] == right[-1]["date"]
    providers.fail(Fault(source_id, "restated_history"))
    restated = bars(sources[source_id], "ABB")
    assert restated[0]["volume"] == 2 * int(str(right[0]["volume"]))


def test_alpha_vantages_volume_stays_text_and_adjusted_answers_do_not_shift_it(
    healthy: tuple[Providers, dict[str, Source]],
) -> None:
    rows = bars(healthy[1]["alpha_vantage"], "ABB", LAST - timedelta(days=10))
    assert rows[0]["date"] == LAST
    assert all(isinstance(row[name], str) for row in rows for name in ("open", "close", "volume"))
