"""An answer is of the share, exchange, currency and days that were asked for; a bad part of it costs itself alone.

The real clients ask simulated providers through a server that changes what these send.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from extract.errors import SourceRefused, SourceUnavailable
from extract.fetching.received import Received
from extract.landing.raw import (
    ALPHA_VANTAGE_DAILY_BARS,
    KITE_DAILY_BARS,
    KITE_INSTRUMENTS,
    KITE_QUOTES,
    YAHOO_DAILY_BARS,
)
from extract.seeds import EXCHANGE_ZONE, Instrument, listed_instruments
from extract.sources import Answer, Request, Source
from extract.sources.alpha_vantage import AlphaVantage
from extract.sources.kite import Kite
from extract.sources.yahoo import Yahoo
from infra.doubles import loopback
from infra.doubles.proxy import Answered, Asked, Proxy
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, API_KEY, Providers, serving
from tests.extract.conftest import FAST

FIRST, LAST = date(2024, 12, 2), date(2024, 12, 31)
NOW = datetime(2025, 1, 1, 8, 0, tzinfo=EXCHANGE_ZONE)
TABLES = {"kite": KITE_DAILY_BARS, "yahoo": YAHOO_DAILY_BARS, "alpha_vantage": ALPHA_VANTAGE_DAILY_BARS}
DATA_ROUTES = ("/instruments", "/quote", "/v8/finance/chart/", "/query")
(ETERNAL, TCS) = listed_instruments(["ETERNAL", "TCS"])

type Change = Callable[[Answered], Answered]


@dataclass
class Changing:
    """The sources, and the change that is made to each answer of data on its way to them."""

    sources: dict[str, Source] = field(default_factory=dict)
    change: Change | None = None

    def __call__(self, asked: Asked, pass_on: Callable[[], Answered]) -> Answered:
        """Pass an answer on, changed."""
        answer = pass_on()
        return self.change(answer) if self.change and asked.path.startswith(DATA_ROUTES) else answer

    def fetch(self, source_id: str, instrument: Instrument = TCS, first: date = FIRST, last: date = LAST) -> Answer:
        return self.sources[source_id].fetch(Request(TABLES[source_id], (instrument,), first, last))

    def dump(self) -> Answer:
        return self.sources["kite"].fetch(Request(KITE_INSTRUMENTS, (), LAST, LAST))


@pytest.fixture(scope="module")
def served() -> Iterator[Changing]:
    market = draft_market(first=FIRST, last=LAST, symbols=["ETERNAL", "TCS"])
    changing = Changing()
    with (
        serving(Providers(market, clock=lambda: NOW, limits=replace(FAST, kite_others=1000))) as address,
        loopback.serving(Proxy(address, changing)) as before,
    ):
        at: dict[str, Any] = {"base_url": before.address, "clock": lambda: NOW, "sleep": lambda _: None}
        yahoo = Yahoo(requests_per_second=500, **at)
        third = AlphaVantage("thirdkey", **at)
        changing.sources = {
            "kite": Kite(API_KEY, ACCESS_TOKEN, requests_per_second=500, **at),
            "yahoo": yahoo,
            "alpha_vantage": third,
        }
        yield changing
        yahoo.close()
        third.close()


@pytest.fixture
def changing(served: Changing) -> Changing:
    """Nothing is changed yet, and Kite has its tokens."""
    served.change = None
    served.dump()
    return served


def changed(change: Callable[[Any], object]) -> Change:
    """Change the JSON of an answer, in place."""

    def changed_json(answer: Answered) -> Answered:
        body = json.loads(answer.body)
        change(body)
        return replace(answer, body=json.dumps(body).encode())

    return changed_json


def changed_chart(change: Callable[[Any], object]) -> Change:
    return changed(lambda body: change(body["chart"]["result"][0]))


def days(answer: Answer, source_id: str) -> list[date]:
    moments = answer[TABLES[source_id].name]["date"].to_pylist()
    return [m.astimezone(EXCHANGE_ZONE).date() if isinstance(m, datetime) else m for m in moments]


@pytest.mark.parametrize("source_id", ["kite", "yahoo"])
def test_days_that_were_not_asked_for_are_left_out_and_named(changing: Changing, source_id: str) -> None:
    # The provider sends the whole month, whatever it is asked.
    whole: list[Answered] = []

    def kept(answer: Answered) -> Answered:
        whole.append(answer)
        return whole[0]

    changing.change = kept
    every = days(changing.fetch(source_id), source_id)
    first, last = date(2024, 12, 9), date(2024, 12, 20)
    answer = changing.fetch(source_id, first=first, last=last)
    assert days(answer, source_id) == [day for day in every if first <= day <= last]
    (said,) = answer.left_out
    assert f"sent {len(every) - len(days(answer, source_id))} rows of days that were not asked for" in said
    assert "2024-12-02, 2024-12-03, " in said


@pytest.mark.parametrize("hour", ["T09:15:00+0530", "T23:59:59+0530", "T00:00:00+05:30"])
def test_a_candle_is_of_its_day_whatever_the_hour(changing: Changing, hour: str) -> None:
    expected = days(changing.fetch("kite"), "kite")

    def at_hour(body: Any) -> None:
        for candle in body["data"]["candles"]:
            candle[0] = candle[0][:10] + hour

    changing.change = changed(at_hour)
    assert days(changing.fetch("kite"), "kite") == expected


def repeat_candle(body: Any) -> None:
    body["data"]["candles"].append(["2024-12-05T09:15:00+0530", *body["data"]["candles"][3][1:]])


def repeat_chart(body: Any) -> None:
    chart = body["chart"]["result"][0]
    chart["timestamp"].insert(3, chart["timestamp"][3] + 60)
    for column in (*chart["indicators"]["quote"][0].values(), chart["indicators"]["adjclose"][0]["adjclose"]):
        column.insert(3, column[3])


@pytest.mark.parametrize(("source_id", "repeat"), [("kite", repeat_candle), ("yahoo", repeat_chart)])
def test_a_day_that_comes_twice_with_the_same_values_is_one_bar(
    changing: Changing, source_id: str, repeat: Callable[[Any], None]
) -> None:
    expected = days(changing.fetch(source_id), source_id)
    changing.change = changed(repeat)
    answer = changing.fetch(source_id)
    assert days(answer, source_id) == expected
    assert answer.left_out == []


def test_an_alpha_vantage_day_that_stands_twice_is_malformed(changing: Changing) -> None:
    # Python's JSON would keep the last of two.
    changing.change = lambda answer: replace(
        answer, body=answer.body.replace(b'"2024-12-30"', b'"2024-12-31"').replace(b'"Last Refreshed"', b'"L"')
    )
    with pytest.raises(SourceUnavailable, match="malformed: 2024-12-31 comes twice, with different values"):
        changing.fetch("alpha_vantage")
    changing.change = lambda answer: replace(answer, body=answer.body.replace(b'"2024-12-30"', b'"20241231"'))
    with pytest.raises(SourceUnavailable, match="malformed: 2024-12-31 comes twice, with different values"):
        changing.fetch("alpha_vantage")


def test_yahoos_last_trade_beside_its_bar_of_the_day_is_taken_for_that_bar(changing: Changing) -> None:
    expected = changing.fetch("yahoo")[YAHOO_DAILY_BARS.name].to_pylist()

    def add_last_trade(chart: Any) -> None:
        chart["timestamp"].append(chart["timestamp"][-1] + 21_600)
        for name, column in chart["indicators"]["quote"][0].items():
            column.append(column[-1] + (7 if name == "volume" else 0))
        chart["indicators"]["adjclose"][0]["adjclose"].append(1.0)

    changing.change = changed_chart(add_last_trade)
    *_, last = rows = changing.fetch("yahoo")[YAHOO_DAILY_BARS.name].to_pylist()
    assert rows[:-1] == expected[:-1]
    assert last["volume"] == expected[-1]["volume"] + 7


@pytest.mark.parametrize(
    "meta",
    [
        {"currency": "inr"},
        {"exchangeName": "NSE"},
        {"exchangeName": None},
        {"fullExchangeName": "National Stock Exchange of India"},
        {"symbol": "tcs.ns"},
    ],
)
def test_yahoo_may_write_the_same_share_in_another_way(changing: Changing, meta: dict[str, object]) -> None:
    changing.change = changed_chart(lambda chart: chart["meta"].update(meta))
    assert changing.fetch("yahoo")[YAHOO_DAILY_BARS.name].num_rows == 21


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        (
            {"symbol": "TATATECH.NS"},
            "is of TATATECH.NS, and is not taken; where the share was renamed, correct yahoo_ti",
        ),
        ({"symbol": "TCS.BO"}, "is of TCS.BO"),
        ({"symbol": "TCS"}, "is of TCS,"),
        ({"symbol": None}, "is of no named ticker"),
        ({"exchangeName": "BSE", "fullExchangeName": "BSE"}, "is of BSE, and not of the NSE"),
        ({"fullExchangeName": "Bombay"}, "is of BOMBAY and NSI, and not"),
        ({"exchangeName": None, "fullExchangeName": ""}, "is of no named exchange"),
        ({"currency": "USD"}, "is in USD, and not in INR"),
        ({"currency": "INr"}, "is in INr, and not in INR"),
        ({"currency": None}, "is in no named currency"),
    ],
)
def test_yahoos_answer_of_something_else_is_refused_with_what_mends_it(
    changing: Changing, meta: dict[str, object], words: str
) -> None:
    def describe(chart: Any) -> None:
        chart["meta"] = {name: v for name, v in (chart["meta"] | meta).items() if v is not None}

    changing.change = changed_chart(describe)
    with pytest.raises(SourceRefused) as caught:
        changing.fetch("yahoo")
    assert words in str(caught.value)
    assert "seeds/instruments.csv" in str(caught.value)
    assert not caught.value.stops_source


def test_a_renamed_share_is_taken_under_its_new_ticker_and_under_the_old_one_while_that_is_its_own(
    changing: Changing,
) -> None:
    def under(ticker: str) -> Change:
        return changed_chart(lambda chart: chart["meta"].update(symbol=ticker))

    # ZOMATO became ETERNAL in April 2025.
    changing.change = under("ZOMATO.NS")
    assert changing.fetch("yahoo", ETERNAL)[YAHOO_DAILY_BARS.name].num_rows == 21
    yahoo = changing.sources["yahoo"]
    assert isinstance(yahoo, Yahoo)
    yahoo._clock = lambda: NOW + timedelta(days=365)
    try:
        with pytest.raises(SourceRefused, match=r"is of ZOMATO\.NS"):
            changing.fetch("yahoo", ETERNAL)
    finally:
        yahoo._clock = lambda: NOW
    # The seed still has the old ticker, and Yahoo answers it with the new one.
    changing.change = None
    renamed = replace(TCS, symbol="TCSNEW")
    changing.change = under("TCSNEW.NS")
    assert changing.fetch("yahoo", renamed)[YAHOO_DAILY_BARS.name].num_rows == 21


@pytest.mark.parametrize("told", ["IBM", "TCS.NS", "TCS", None])
def test_a_series_of_another_symbol_is_refused(changing: Changing, told: str | None) -> None:
    changing.change = changed(lambda body: body["Meta Data"].update({"2. Symbol": told}))
    with pytest.raises(SourceRefused, match="correct alpha_vantage_ticker"):
        changing.fetch("alpha_vantage")


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("splits", {"numerator": 2.0, "denominator": 0}),
        ("splits", {"numerator": 0.0, "denominator": 1.0}),
        ("splits", {"numerator": -2.0, "denominator": 1.0}),
        ("splits", {"numerator": 2.0}),
        ("splits", {"date": None, "numerator": 2.0, "denominator": 1.0}),
        ("dividends", {"amount": None}),
        ("dividends", {"amount": -1.5}),
        ("dividends", {"date": None, "amount": 1.5}),
        ("dividends", {"date": 1_733_715_900_000, "amount": 1.5}),
        ("splits", {"date": 10**20, "numerator": 2.0, "denominator": 1.0}),
    ],
)
def test_an_event_of_yahoo_that_says_nothing_costs_itself_alone(
    changing: Changing, kind: str, event: dict[str, object]
) -> None:
    expected = days(changing.fetch("yahoo"), "yahoo")

    def add_events(chart: Any) -> None:
        good, other = chart["timestamp"][5], chart["timestamp"][9]
        chart["events"] = {"dividends": {str(good): {"amount": 2.5, "date": good}}, "splits": {}}
        chart["events"][kind][str(other)] = {"date": other} | event

    changing.change = changed_chart(add_events)
    answer = changing.fetch("yahoo")
    assert days(answer, "yahoo") == expected
    (action,) = answer["yahoo_corporate_actions"].to_pylist()
    assert (action["dividend"], action["split_ratio"]) == (2.5, 0.0)
    (said,) = answer.left_out
    assert said.startswith(f"an event of Yahoo's {kind} is left out: {{'date'")


def test_an_action_of_yahoo_keeps_its_day_where_there_is_no_bar(changing: Changing) -> None:
    def act_without_bars(chart: Any) -> None:
        first, second, third = (chart["timestamp"][place] for place in (0, 5, 9))
        for place in (9, 5, 0):
            for column in (
                chart["timestamp"],
                *chart["indicators"]["quote"][0].values(),
                chart["indicators"]["adjclose"][0]["adjclose"],
            ):
                del column[place]
        split = {"date": second, "numerator": 3.0, "denominator": 2.0, "splitRatio": "3:2"}
        chart["events"] = {
            # Two dividends of one day, at different hours.
            "dividends": {str(n): {"date": first + n, "amount": 1.0 + n} for n in (0, 1)}
            | {"late": {"date": third, "amount": 4.0}},
            # Yahoo has some splits twice.
            "splits": {"once": split, "again": split | {"date": second + 60}},
        }

    changing.change = changed_chart(act_without_bars)
    answer = changing.fetch("yahoo")
    actions = [tuple(row.values())[2:] for row in answer["yahoo_corporate_actions"].to_pylist()]
    assert [(moment.astimezone(EXCHANGE_ZONE).date(), *values) for moment, *values in actions] == [
        (date(2024, 12, 2), 3.0, 0.0),
        (date(2024, 12, 9), 0.0, 1.5),
        (date(2024, 12, 13), 4.0, 0.0),
    ]
    assert len(days(answer, "yahoo")) == 18


def test_an_action_of_a_day_that_was_not_asked_for_is_left_out_and_named(changing: Changing) -> None:
    def add_dividends(chart: Any) -> None:
        late = datetime(2025, 6, 2, 9, 15, tzinfo=EXCHANGE_ZONE)
        dates = [int(moment.timestamp()) for moment in (late, datetime(2023, 6, 2, 9, 15, tzinfo=EXCHANGE_ZONE))]
        chart["events"] = {"dividends": {str(second): {"date": second, "amount": 2.5} for second in dates}}

    changing.change = changed_chart(add_dividends)
    answer = changing.fetch("yahoo")
    assert answer["yahoo_corporate_actions"].num_rows == 0
    assert answer.left_out == [
        "Yahoo sent 1 rows of days that have not come, which are left out: 2025-06-02",
        "Yahoo sent 1 rows of days that were not asked for, which are left out: 2023-06-02",
    ]


def test_times_in_milliseconds_are_malformed(changing: Changing) -> None:
    changing.change = changed_chart(
        lambda chart: chart.update(timestamp=[second * 1000 for second in chart["timestamp"]])
    )
    with pytest.raises(
        SourceUnavailable,
        match=r"Yahoo's answer is malformed: 21 of its 21 bars cannot be read.*: Value error, year \d+ is out of range",
    ):
        changing.fetch("yahoo")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, b"<html>Forbidden</html>", "blocks our requests (403 Forbidden)"),
        (401, b"Unauthorized", "blocks our requests (401 Unauthorized)"),
        (999, b"Request denied", "blocks our requests (999 Request denied)"),
        (200, b"\xef\xbb\xbf<!doctype html><title>Consent</title>", "in place of prices: Consent"),
        (429, b"Edge: Too Many Requests", "limits our requests (429 Edge: Too Many Requests)"),
        (200, b"Too Many Requests\r\n", "limits our requests (200 Too Many Requests)"),
    ],
)
def test_being_blocked_by_yahoo_is_told_and_ends_its_requests(
    changing: Changing, status: int, body: bytes, words: str
) -> None:
    changing.change = lambda _: Answered(status, [("Content-Type", "text/html")], body)
    with pytest.raises(SourceUnavailable) as caught:
        changing.fetch("yahoo")
    assert words in str(caught.value)
    assert "YAHOO_REQUESTS_PER_SECOND" in str(caught.value)
    assert caught.value.stops_source
    assert caught.value.is_rate_limit == ("limits" in words)


@pytest.mark.parametrize("body", [b"<html>Will be right back</html>", b"<html>502 Bad Gateway</html>"])
def test_an_outage_of_yahoo_is_not_taken_for_a_block(changing: Changing, body: bytes) -> None:
    changing.change = lambda _: Answered(200 if b"back" in body else 502, [("Content-Type", "text/html")], body)
    with pytest.raises(SourceUnavailable, match="out of order") as caught:
        changing.fetch("yahoo")
    assert not caught.value.stops_source


@pytest.mark.parametrize(
    ("error_type", "message", "words"),
    [
        ("TokenException", "Incorrect `api_key` or `access_token`.", "run `trading-data kite-login`"),
        ("GeneralException", "Your session has expired. Please log in again.", "run `trading-data kite-login`"),
        ("PermissionException", "Insufficient permission for that call.", "needs a paid Connect plan"),
        ("InputException", "Insufficient permission for that call.", "needs a paid Connect plan"),
        ("PermissionException", "The user is not enabled for the app.", "enable the user for the app"),
        ("TokenException", "The user is not enabled for the app.", "enable the user for the app"),
        (
            "PermissionException",
            "IP (192.0.2.1) is not allowed to use this app. Update allowed IPs on the Kite developer console.",
            "add its public address",
        ),
        ("GeneralException", "Your IP address is not whitelisted.", "add its public address"),
        ("PermissionException", "Something new.", "Kite forbids this call (Something new.)"),
        (None, "<html>Forbidden</html>", "Kite refuses this machine's address (a page with status 403)"),
    ],
)
@pytest.mark.parametrize("is_dump", [False, True])
def test_each_reason_of_kite_to_forbid_is_told_with_what_mends_it(
    changing: Changing, error_type: str | None, message: str, words: str, is_dump: bool
) -> None:
    body = {"status": "error", "message": message, "data": None, "error_type": error_type}
    kind, sent = ("application/json", json.dumps(body)) if error_type else ("text/html", message)
    changing.change = lambda _: Answered(403, [("Content-Type", kind)], sent.encode())
    with pytest.raises(SourceRefused) as caught:
        changing.dump() if is_dump else changing.fetch("kite")
    assert words in str(caught.value)
    assert caught.value.stops_source


HEADER = b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size"
HEADER += b",instrument_type,segment,exchange\n"
ROW = b"2953217,11536,TCS,TCS,0.0,,0.0,0.05,1,EQ,NSE,NSE\n"
OTHER_ROW = b'408065,1594,INFY,"INFOSYS, LTD.",0.0,,0.0,0.05,1,EQ,NSE,NSE\n'


def sent_as(body: bytes, *headers: tuple[str, str]) -> Change:
    return lambda _: Answered(200, [("Content-Type", "text/csv"), *headers], body)


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        (HEADER + ROW + OTHER_ROW, None),
        (b"\xef\xbb\xbf" + HEADER + ROW + OTHER_ROW, None),
        ((HEADER + ROW + OTHER_ROW).replace(b"\n", b"\r\n"), None),
        (HEADER + ROW + b"\n\n,,,,,,,,,,,\n" + OTHER_ROW.rstrip(), None),
        (HEADER + ROW + b",,ODD,ODD,0.0,,0.0,0.05,1,EQ,NSE,NSE\n" + OTHER_ROW, "ODD in line 3 (instrument_token is"),
        (HEADER + ROW + OTHER_ROW + b"x1,1,ODD,ODD,0.0,,0.0,0.05,1,EQ,NSE,NSE\n", "ODD in line 4 (instrument_token is"),
        (HEADER + b"77,1,,ODD,0.0,,0.0,0.05,1,EQ,NSE,NSE\n" + ROW + OTHER_ROW, "a row without a name in line 2"),
        (HEADER + b"77,1,ODD,ODD,0.0,,0.0,n/a,1,EQ,NSE,NSE\n" + ROW + OTHER_ROW, "(tick_size is 'n/a')"),
        (HEADER + ROW + b"77,1,ODD\n" + OTHER_ROW, "ODD in line 3"),
        (HEADER + ROW + OTHER_ROW + b"77,1,ODD,ODD,0.0,,0.0,0.05,1,EQ,BSE,BSE\n", "(exchange is 'BSE')"),
        (
            HEADER + ROW + b"77,1,O\xff,ODD,0.0,,0.0,0.05,1,EQ,X,NSE\n" + OTHER_ROW,
            "(tradingsymbol is 'O\N{REPLACEMENT CHARACTER}')",
        ),
        (
            HEADER + ROW + b'77,1,ODD,"ODD LTD,0.0,,0.0,0.05,1,EQ,NSE,NSE\n' + OTHER_ROW,
            "ODD in line 3 (exchange is None)",
        ),
        (
            HEADER + ROW + b"77,1,ODD," + 2**21 * b"x" + b"\n" + OTHER_ROW,
            "a row without a name in line 3 (field larger",
        ),
        (HEADER + ROW + OTHER_ROW + b"77,1,ODD\n", "ODD in line 4"),
        (
            HEADER + ROW + b"77,1,ODD,ODD,0.0,,0.0,0.05,1,EQ,NSE,NSE\n" + OTHER_ROW,
            "77, which is not of exchange_token 1)",
        ),
        (
            HEADER + ROW + b"77,x,ODD,ODD,0.0,,0.0,0.05,1,EQ,NSE,NSE\n" + OTHER_ROW,
            "77, which is not of exchange_token x)",
        ),
    ],
)
def test_an_odd_row_of_kites_dump_costs_itself_alone_and_is_named(
    changing: Changing, dump: bytes, said: str | None
) -> None:
    changing.change = sent_as(dump)
    answer = changing.dump()
    rows = answer[KITE_INSTRUMENTS.name].to_pylist()
    assert [(row["tradingsymbol"], row["instrument_token"]) for row in rows] == [("TCS", 2953217), ("INFY", 408065)]
    assert rows[1]["name"] == "INFOSYS, LTD."
    assert rows[0]["expiry"] is None
    assert len(answer.left_out) == (said is not None)
    assert said is None or said in answer.left_out[0]


@pytest.mark.parametrize("cut", [1, 2, 3, 10, 30, len(ROW)])
def test_a_dump_that_is_cut_off_is_told_so(changing: Changing, cut: int) -> None:
    whole = HEADER + OTHER_ROW + ROW
    changing.change = sent_as(whole[:-cut])
    if cut in (1, len(ROW)):
        # Where it ends with a whole row, nothing shows it.
        assert changing.dump()[KITE_INSTRUMENTS.name].num_rows == (2 if cut == 1 else 1)
        return
    with pytest.raises(SourceUnavailable, match="Kite's instruments dump is cut off in line 3"):
        changing.dump()


def test_a_compressed_dump_that_is_cut_off_is_none(changing: Changing) -> None:
    rows = b"".join(ROW.replace(b"2953217,11536,TCS", b"%d,%d,S%d" % (256 * n + 1, n, n)) for n in range(1, 400))
    packed = gzip.compress(HEADER + rows)
    changing.change = sent_as(packed, ("Content-Encoding", "gzip"))
    assert changing.dump()[KITE_INSTRUMENTS.name].num_rows == 399
    changing.change = sent_as(packed[: len(packed) // 2], ("Content-Encoding", "gzip"))
    with pytest.raises(SourceUnavailable, match="cut off"):
        changing.dump()


def test_a_byte_of_a_name_that_is_not_utf_8_costs_that_letter(changing: Changing) -> None:
    changing.change = sent_as(HEADER + ROW + OTHER_ROW.replace(b"INFOSYS", b"INF\xd6SYS"))
    answer = changing.dump()
    assert answer[KITE_INSTRUMENTS.name]["name"].to_pylist() == ["TCS", "INF\N{REPLACEMENT CHARACTER}SYS, LTD."]
    assert answer.left_out == []


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (
            [b"257,1,TCS,OTHER,0.0,,0.0,0.05,1,EQ,NSE,NSE\n"],
            "TCS in line 3 (tradingsymbol TCS has more than one instrument_token: 2953217, 257)",
        ),
        (
            [b"2953217,11536,OTHER,OTHER,0.0,,0.0,0.05,1,EQ,NSE,NSE\n"],
            "TCS in line 3 (instrument_token 2953217 has more than one tradingsymbol: TCS, OTHER)",
        ),
    ],
)
def test_a_share_that_the_dump_has_twice_gets_no_candles(changing: Changing, others: list[bytes], said: str) -> None:
    changing.change = sent_as(HEADER + OTHER_ROW + ROW + b"".join(others))
    answer = changing.dump()
    assert answer[KITE_INSTRUMENTS.name]["tradingsymbol"].to_pylist() == ["INFY"]
    (told,) = answer.left_out
    assert told.startswith("2 rows of Kite's instruments dump are left out: ")
    assert said in told
    with pytest.raises(SourceRefused) as caught:
        changing.fetch("kite")
    assert "Kite's instruments dump has no usable token of TCS in line" in str(caught.value)
    assert not caught.value.stops_source


def test_a_share_that_the_dump_has_twice_with_one_token_is_one_share(changing: Changing) -> None:
    changing.change = sent_as(HEADER + ROW + OTHER_ROW + ROW)
    assert changing.dump().left_out == []


@pytest.mark.parametrize("dump", [b"", HEADER, b"instrument_token,tradingsymbol\n1,TCS\n", b"\xff\xfe\x00"])
def test_what_is_no_dump_is_refused(changing: Changing, dump: bytes) -> None:
    changing.change = sent_as(dump)
    with pytest.raises(SourceUnavailable, match=r"dump is empty|lacks the columns .*expiry"):
        changing.dump()


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/csv", b"<!doctype html><title>Sorry</title>", "dump is not CSV: it begins with '<!doctype html>"),
        ("text/csv", b'{"status": "success"}', "dump is not CSV: it begins with '{"),
        ("text/html", b"<html>Sorry</html>", "Kite answered 200: no CSV"),
        ("application/json", b'{"status": "success", "data": []}', "Kite answered 200: no CSV"),
    ],
)
def test_a_page_or_json_in_place_of_the_dump_is_told_so(changing: Changing, kind: str, body: bytes, words: str) -> None:
    changing.change = lambda _: Answered(200, [("Content-Type", kind)], body)
    with pytest.raises(SourceUnavailable) as caught:
        changing.dump()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "candle",
    [
        ["2024-12-05T00:00:00+0530", 1, 2, 1, None, 10],
        ["2024-12-05T00:00:00+0530", 1, 2, 1, "1.5", 10],
        ["2024-12-05T00:00:00+0530", 1, 2, 1, float("nan"), 10],
        ["2024-12-05T00:00:00+0530", 1, 2, 1, 1e15, 10],
        ["2024-12-05T00:00:00+0530", 1, 2, True, 1, 10],
        ["2024-12-05T00:00:00+0530", 1, 2, 1, 1, 10.5],
        ["2024-12-05T00:00:00+0530", 1, 2, 1, 1, 2**63],
        ["2024-12-05T00:00:00+0530", 1, 2, 1, 1],
        ["2024-12-05T00:00:00+0530"],
    ],
)
def test_a_candle_that_cannot_be_read_costs_itself_alone_and_is_named(changing: Changing, candle: list[Any]) -> None:
    expected = changing.fetch("kite")[KITE_DAILY_BARS.name].to_pylist()
    changing.change = changed(lambda body: body["data"]["candles"].__setitem__(3, candle))
    answer = changing.fetch("kite")
    assert answer[KITE_DAILY_BARS.name].to_pylist() == expected[:3] + expected[4:]
    (said,) = answer.left_out
    assert said.startswith("Kite sent 1 bars that cannot be read, which are left out: 2024-12-05 (")
    assert answer.unread == {date(2024, 12, 5)}


@pytest.mark.parametrize(
    "candle",
    [None, [], {}, 5, "", [None, 1, 2, 1, 1, 10], ["2024-12-05T00:00:00+0000", 1, 2, 1, 1, 10], ["2024-12-32", 1]]
    + [["0001-01-01T00:00:00+0530", 1, 2, 1, 1, 10][:length] for length in (1, 5)],
)
def test_a_candle_without_a_day_costs_itself_alone(changing: Changing, candle: Any) -> None:
    expected = changing.fetch("kite")[KITE_DAILY_BARS.name].to_pylist()
    changing.change = changed(lambda body: body["data"]["candles"].__setitem__(3, candle))
    answer = changing.fetch("kite")
    assert answer[KITE_DAILY_BARS.name].to_pylist() == expected[:3] + expected[4:]
    (said,) = answer.left_out
    assert "sent 1 bars that cannot be read" in said


@pytest.mark.parametrize(("sent_day", "place"), [("2024-12-05", 3), ("2024-12-05", -1), ("", 3)])
def test_a_bar_that_cannot_be_read_is_not_taken_for_withdrawn(changing: Changing, sent_day: str, place: int) -> None:
    sent = days(changing.fetch("kite"), "kite")
    held = Received(KITE_DAILY_BARS, {"TCS": {f"{day:%Y%m%d}": 10 * "0" for day in sent}})

    def spoil(body: Any) -> None:
        candles = body["data"]["candles"]
        candles.insert(place, [sent_day + candles.pop(3)[0][10:]])

    changing.change = changed(spoil)
    answer = changing.fetch("kite")
    kept = held.new_rows(answer[KITE_DAILY_BARS.name], NOW, answer.unread)
    assert kept.num_rows == len(sent) - 1
    assert not any(kept["is_withdrawn"].to_pylist())
    changing.change = changed(lambda body: body["data"]["candles"].pop(3))
    answer = changing.fetch("kite")
    assert held.new_rows(answer[KITE_DAILY_BARS.name], NOW, answer.unread).num_rows == len(sent)


def test_the_wrong_day_of_a_bar_that_cannot_be_read_withdraws_nothing(changing: Changing) -> None:
    sent = days(changing.fetch("kite"), "kite")
    held = Received(KITE_DAILY_BARS, {"TCS": {f"{day:%Y%m%d}": 10 * "0" for day in sent}})

    def spoil(body: Any) -> None:
        candles = body["data"]["candles"]
        candles[-2:] = [["2042" + candles[-1][0][4:]]]

    changing.change = changed(spoil)
    answer = changing.fetch("kite")
    assert [day.year for day in answer.unread if day] == [2042]
    kept = held.new_rows(answer[KITE_DAILY_BARS.name], NOW, answer.unread)
    assert not any(kept["is_withdrawn"].to_pylist())


@pytest.mark.parametrize("body", [2**21 * b"x", HEADER + ROW + 2**21 * b"x"])
def test_a_dump_with_an_endless_line_is_malformed(changing: Changing, body: bytes) -> None:
    changing.change = sent_as(body)
    with pytest.raises(SourceUnavailable, match="Kite's instruments dump is malformed"):
        changing.dump()


@pytest.mark.parametrize("candles", [None, {}, "", [[]]])
def test_candles_of_which_none_can_be_read_are_malformed(changing: Changing, candles: Any) -> None:
    changing.change = changed(lambda body: body["data"].update(candles=candles))
    with pytest.raises(SourceUnavailable, match="Kite's answer is malformed"):
        changing.fetch("kite")


@pytest.mark.parametrize("source_id", ["kite", "yahoo", "alpha_vantage"])
def test_an_answer_of_which_many_bars_cannot_be_read_is_malformed(changing: Changing, source_id: str) -> None:
    def spoilt(count: int) -> Change:
        def spoil(body: Any) -> None:
            if source_id == "kite":
                for candle in body["data"]["candles"][:count]:
                    candle[4] = "-"
            elif source_id == "yahoo":
                body["chart"]["result"][0]["indicators"]["quote"][0]["close"][:count] = count * ["-"]
            else:
                for fields in list(body["Time Series (Daily)"].values())[:count]:
                    del fields["5. volume"]

        return changed(spoil)

    changing.change = spoilt(5)
    answer = changing.fetch(source_id)
    assert len(days(answer, source_id)) == 16
    assert len(answer.unread) == 5
    changing.change = spoilt(6)
    with pytest.raises(
        SourceUnavailable, match="answer is malformed: 6 of its 21 bars cannot be read, such as 2024-12-"
    ):
        changing.fetch(source_id)


@pytest.mark.parametrize(
    ("day", "fields", "said"),
    [
        ("2024-12-30", {"5. volume": None}, "2024-12-30 (volume is None)"),
        ("2024-12-30", {"4. close": 12.5}, "2024-12-30 (close is 12.5)"),
        ("2024-12-32", {}, "a bar without a day (its day is 2024-12-32)"),
    ],
)
def test_a_bad_day_of_alpha_vantage_costs_itself_alone(
    changing: Changing, day: str, fields: dict[str, object], said: str
) -> None:
    expected = changing.fetch("alpha_vantage")[ALPHA_VANTAGE_DAILY_BARS.name].to_pylist()

    def spoil(body: Any) -> None:
        series = body["Time Series (Daily)"]
        series[day] = series.pop("2024-12-30") | fields

    changing.change = changed(spoil)
    answer = changing.fetch("alpha_vantage")
    assert days(answer, "alpha_vantage") == [row["date"] for row in expected if row["date"] != date(2024, 12, 30)]
    assert answer.left_out == [f"Alpha Vantage sent 1 bars that cannot be read, which are left out: {said}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instrument_token": 408065}, "it is of the instrument 408065, and not of"),
        ({"last_price": True}, "it holds ["),
        ({"last_price": float("nan")}, "it holds ["),
        ({"last_price": "12.5"}, "it holds ["),
        ({"volume": 12.9}, "it holds ["),
        ({"volume": None}, "it holds ["),
        ({"ohlc": {"open": 1, "high": 2, "low": 1}}, "it has no close"),
        ({"ohlc": None}, "not subscriptable"),
        ({"last_trade_time": None}, "must be str"),
        ({"timestamp": 5}, "must be str"),
        ({"timestamp": "2024-12-31T15:30:00Z"}, "does not match"),
        (None, "not subscriptable"),
    ],
)
def test_a_quote_that_cannot_be_read_costs_itself_alone_and_is_named(
    changing: Changing, change: dict[str, Any] | None, said: str
) -> None:
    asked = Request(KITE_QUOTES, (ETERNAL, TCS), LAST, NOW.date())

    def spoil(body: Any) -> None:
        quotes = body["data"]
        quotes["NSE:TCS"] = None if change is None else quotes["NSE:TCS"] | change

    changing.dump()
    changing.change = changed(spoil)
    answer = changing.sources["kite"].fetch(asked)
    assert answer[KITE_QUOTES.name]["symbol"].to_pylist() == ["ETERNAL"]
    (told,) = answer.left_out
    assert told.startswith("Kite's quotes that cannot be read are left out: TCS (")
    assert said in told


def test_quotes_of_two_shares_with_one_token_are_left_out(changing: Changing) -> None:
    def spoil(body: Any) -> None:
        body["data"]["NSE:TCS"]["instrument_token"] = body["data"]["NSE:ETERNAL"]["instrument_token"]

    changing.change = changed(spoil)
    with pytest.raises(SourceUnavailable, match=r"ETERNAL \(another share has the same instrument_token"):
        changing.sources["kite"].fetch(Request(KITE_QUOTES, (ETERNAL, TCS), LAST, NOW.date()))


def test_a_quote_of_a_share_without_a_token_is_left_out_and_named(changing: Changing) -> None:
    changing.change = sent_as(
        HEADER
        + b"%d,%d,ETERNAL,E,0.0,,0.0,0.05,1,EQ,NSE,NSE\n" % (256 * ETERNAL.instrument_id + 1, ETERNAL.instrument_id)
    )
    changing.dump()
    changing.change = None
    answer = changing.sources["kite"].fetch(Request(KITE_QUOTES, (ETERNAL, TCS), LAST, NOW.date()))
    assert answer[KITE_QUOTES.name]["symbol"].to_pylist() == ["ETERNAL"]
    (told,) = answer.left_out
    assert "TCS (TCS is not in Kite's instruments dump" in told


def test_a_quote_of_a_day_that_has_not_come_is_left_out_and_named(changing: Changing) -> None:
    asked = Request(KITE_QUOTES, (ETERNAL, TCS), LAST, NOW.date())

    def of_next_week(body: Any) -> None:
        body["data"]["NSE:TCS"]["last_trade_time"] = "2025-01-08 15:29:59"

    changing.change = changed(of_next_week)
    answer = changing.sources["kite"].fetch(asked)
    assert answer[KITE_QUOTES.name]["symbol"].to_pylist() == ["ETERNAL"]
    assert answer.left_out == ["Kite's quotes of days that have not come are left out: TCS 2025-01-08"]
