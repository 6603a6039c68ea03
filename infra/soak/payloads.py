"""Damaged answers of the providers: cut, scrambled, with fields of other types, or with other numbers.

A source must return only rows that the answer holds, or say why it returns none. A second, simpler reader,
``payload_rows``, lists the rows that the answer holds.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from datetime import datetime
from typing import Any
from unittest.mock import patch

import pyarrow as pa

from extract.errors import SourceRefused, SourceUnavailable
from extract.landing.raw import ALPHA_VANTAGE_DAILY_BARS, KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, listed_instruments
from extract.sources import Answer, Request, Source, kite_rows, yahoo
from extract.sources.alpha_vantage import AlphaVantage
from extract.sources.kite import Kite
from extract.sources.yahoo import Yahoo
from infra.doubles import proxy
from infra.doubles.loopback import serving
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, API_KEY, Limits, Providers
from infra.local.providers import serving as providers_serving
from infra.soak.payload_rows import FIRST, LAST, READERS, Reader, exchange_day

_FAST = Limits(
    kite_candles=10**6,
    kite_others=10**6,
    yahoo=10**6,
    alpha_vantage=10**6,
    alpha_vantage_a_day=10**9,
)

# Columns that come from the request, or from us, and not from the answer.
_ASKED_FOR = {"symbol", "ticker", "instrument_token", "is_withdrawn"}

# Values to put in place of a number or a text.
_ODD_VALUES: tuple[object, ...] = (
    None, True, False, "", "NaN", "12.5", "-", -1, 0, 0.1, 1e308, 10**19, 10**400, [], {}, [1.5], "\u202e12", "१२३",
)  # fmt: skip


def run(count: int, seed: int, broken: str | None, told: Counter[str], findings: list[str]) -> None:
    """Request ``count`` answers from the sources in turn, each of them damaged; see ``exercises``."""
    drawn = random.Random(seed)  # noqa: S311
    with _sources() as (sources, changed):
        tables = {"kite": KITE_DAILY_BARS, "yahoo": YAHOO_DAILY_BARS, "alpha_vantage": ALPHA_VANTAGE_DAILY_BARS}
        (instrument,) = listed_instruments(["TCS"])
        for source_id, table in tables.items():
            changed.change = None
            _asked(sources[source_id], Request(table, (instrument,), FIRST, LAST))
        with BROKEN[broken]() if broken else nullcontext():
            for number in range(count):
                source_id = list(tables)[number % len(tables)]
                changed.change = drawn.choice(_CHANGES)
                changed.drawn = drawn
                outcome = _asked(sources[source_id], Request(tables[source_id], (instrument,), FIRST, LAST))
                name = changed.change.__name__.strip("_")
                if isinstance(outcome, str):
                    is_foreseen = outcome.startswith("foreseen ")
                    told[f"{source_id} {'refused' if is_foreseen else 'uncaught'}"] += 1
                    if not is_foreseen:
                        findings.append(f"{source_id}, {name}: uncaught {outcome}")
                    continue
                told[f"{source_id} rows"] += 1
                wrong = _wrong(READERS[source_id], changed.body, changed.status, outcome)
                if wrong:
                    findings.append(f"{source_id}, {name}: {wrong}")


def _asked(source: Source, request: Request) -> Answer | str:
    """The rows, or the reason why there are none."""
    try:
        return source.fetch(request)
    except (SourceRefused, SourceUnavailable) as error:
        return f"foreseen {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _wrong(readers: dict[str, Reader], body: bytes, status: int, answer: Answer) -> str | None:
    """What is wrong with the rows that a source made of a body; None if the body holds these rows."""
    count = sum(rows.num_rows for rows in answer.values())
    if status >= 300:
        return f"{count} rows of an answer with status {status}"
    try:
        read = json.loads(body.decode("utf-8-sig", errors="replace"))
        held = {name: reader(read) for name, reader in readers.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        return f"{count} rows of an answer that cannot be read ({type(error).__name__}: {error})"
    return next(filter(None, (_apart(held[name], answer[name]) for name in held)), None)


def _apart(held: set[tuple[object, ...]], rows: pa.Table) -> str | None:
    """How a table's rows differ from those that an answer holds, each of which begins with its time; None if not.

    Rows of days that were not asked for need not be among them.
    """
    told = rows.drop_columns([name for name in rows.column_names if name in _ASKED_FOR])
    found = {tuple(row.values()) for row in told.to_pylist()}
    for row in found - held:
        return f"a row that the answer does not hold: {tuple(map(str, row))}"
    asked = {day for row in held if any(row[1:]) and FIRST <= (day := exchange_day(row[0])) <= LAST}
    lost = asked - {exchange_day(row[0]) for row in found}
    return f"no row of {min(lost)}, which the answer holds" if lost else None


class _Changing:
    """Stands between a source and its provider, and damages the answers."""

    def __init__(self) -> None:
        self.change: Callable[[bytes, random.Random], tuple[int, bytes]] | None = None
        self.drawn = random.Random(0)  # noqa: S311
        self.body = b""
        self.status = 0
        self._answers: dict[str, proxy.Answered] = {}

    def __call__(self, asked: proxy.Asked, pass_on: Callable[[], proxy.Answered]) -> proxy.Answered | None:
        """Return the provider's answer, damaged; Kite's instruments dump stays as it is."""
        path = asked.path.partition("?")[0]
        if path not in self._answers:
            self._answers[path] = pass_on()
        answer = self._answers[path]
        if self.change is None or not any(name in path for name in ("historical", "chart", "query")):
            return answer
        self.status, self.body = self.change(answer.body, self.drawn)
        return proxy.Answered(self.status, answer.headers, self.body)


@contextmanager
def _sources() -> Iterator[tuple[dict[str, Source], _Changing]]:
    """The three sources, and the object that damages their answers."""
    providers = Providers(draft_market(first=FIRST, last=LAST, symbols=["TCS"]), limits=_FAST)
    providers.market.act(0, 4, dividend=1.5)
    providers.market.act(0, 12, dividend=0.25, split_ratio=2.0)
    providers.clock = lambda: datetime.combine(LAST, datetime.max.time(), EXCHANGE_ZONE)
    changing = _Changing()
    clock = providers.clock
    with providers_serving(providers) as address, serving(proxy.Proxy(address, changing)) as before:
        at = {"base_url": before.address, "clock": clock, "sleep": lambda _: None}
        of_kite = Kite(API_KEY, ACCESS_TOKEN, requests_per_second=10**6, **at)  # type: ignore[arg-type]
        of_yahoo = Yahoo(requests_per_second=10**6, **at)  # type: ignore[arg-type]
        third = AlphaVantage("simulated", **at)  # type: ignore[arg-type]
        yield {"kite": of_kite, "yahoo": of_yahoo, "alpha_vantage": third}, changing
        of_yahoo.close()
        third.close()


def _cut(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    return 200, body[: drawn.randrange(len(body))]


def _byte(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    place = drawn.randrange(len(body))
    return 200, body[:place] + bytes([drawn.randrange(256)]) + body[place + 1 :]


def _swapped(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    first, second = sorted(drawn.sample(range(len(body)), 2))
    return 200, body[second:] + body[first:second] + body[:first]


def _wrapped(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    return 200, drawn.choice(
        (b"\xef\xbb\xbf" + body, b"\x00" + body, b"<html>" + body, body + b"}", body.hex().encode())
    )


def _page(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    return drawn.choice((200, 403, 404, 500, 502)), b"<html><body>Access denied</body></html>" + body[:100]


def _status(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    return drawn.choice((201, 400, 403, 404, 429, 500, 503)), body


def _value(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    """Change, remove or repeat a value of the answer."""
    answer = json.loads(body)
    for _ in range(drawn.choice((1, 1, 1, 3))):
        here = answer
        while True:
            keys = list(here) if isinstance(here, dict) else range(len(here))
            key = drawn.choice(list(keys))
            inner = here[key]
            if isinstance(inner, dict | list) and inner and drawn.random() < 0.95:
                here = inner
                continue
            break
        change = drawn.random()
        if change < 0.1:
            del here[key]
        elif change < 0.2 and isinstance(here, list):
            here.insert(key, inner)
        else:
            here[key] = deepcopy(drawn.choice(_ODD_VALUES))
        if not isinstance(answer, dict | list) or not answer:
            break
    # Python's JSON writes Infinity and NaN, as servers written in Python do.
    return 200, json.dumps(answer).encode()


def _marked(body: bytes, drawn: random.Random) -> tuple[int, bytes]:
    """Change a value, and put a byte-order mark first, which some clients accept and some do not."""
    status, changed = _value(body, drawn)
    return status, b"\xef\xbb\xbf" + changed


_CHANGES = (_cut, _byte, _byte, _byte, _swapped, _wrapped, _page, _status, _value, _value, _value, _value, _marked)


@contextmanager
def _credulous() -> Iterator[None]:
    """Break the source: accept any value of Kite as a number."""

    def bar(candle: Sequence[Any], instrument: Any, token: int) -> dict[str, Any]:
        sent_date, *sent = candle[:6]
        values = [float(value or 0) for value in sent]
        named = dict(zip(("open", "high", "low", "close"), values[:4], strict=True))
        day = kite_rows._start(sent_date)
        return {"symbol": instrument.symbol, "instrument_token": token, "date": day, **named} | {
            "volume": int(values[4])
        }

    with patch.object(kite_rows, "_bar", bar):
        yield


@contextmanager
def _unheld() -> Iterator[None]:
    """Break the source: accept everything that yfinance makes of Yahoo's answers."""
    with patch.object(yahoo, "fault", lambda *_: None):
        yield


# Broken variants of the sources, which the exercise must detect.
BROKEN = {"credulous": _credulous, "unheld": _unheld}
