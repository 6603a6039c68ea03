"""Alpha Vantage: the BSE's prices, as a third opinion where the other two sources disagree or lack a bar.

It does not serve the NSE. Every refusal comes with status 200 and a sentence; this module recognizes the sentences.
https://www.alphavantage.co/documentation/
"""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx

from extract.errors import SourceRefused, SourceUnavailable
from extract.json_names import RepeatedName, unrepeated
from extract.landing.raw import ALPHA_VANTAGE_DAILY_BARS
from extract.network import unreached
from extract.seeds import Clock
from extract.sources import Answer, Request, Unread, as_table, bounded, why
from extract.sources.pace import Pacer, Sleep

BASE_URL = "https://www.alphavantage.co"
_REQUESTS_PER_SECOND = 1.0
_TIMEOUT_SECONDS = 7.0


class AlphaVantage:
    """The third opinion."""

    source_id = "alpha_vantage"
    workers = 1
    requests_per_second = _REQUESTS_PER_SECOND

    def __init__(self, api_key: str, *, base_url: str | None, clock: Clock, sleep: Sleep) -> None:
        """Connect to Alpha Vantage, or to the server at ``base_url``."""
        self._api_key = api_key
        self._client = httpx.Client(base_url=base_url or BASE_URL, timeout=_TIMEOUT_SECONDS)
        self._pacer = Pacer(_REQUESTS_PER_SECOND, sleep=sleep)
        self._clock = clock

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        self._pacer.hold(seconds)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def fetch(self, request: Request) -> Answer:
        """Fetch the last 100 sessions of one instrument, and keep those that were asked for; see ``Source``."""
        (instrument,) = request.instruments
        ticker = instrument.alpha_vantage_ticker
        self._pacer.wait()
        asked = {"function": "TIME_SERIES_DAILY", "symbol": ticker, "outputsize": "compact", "apikey": self._api_key}
        try:
            response = self._client.get("/query", params=asked)
            body = json.loads(response.content, object_pairs_hook=unrepeated) if response.status_code == 200 else None
        except httpx.HTTPError as error:
            reason = self._redacted(unreached(error, str(self._client.base_url)))
            raise SourceUnavailable(f"Alpha Vantage could not be reached: {reason}", is_unreached=True) from None
        except RepeatedName as error:
            raise SourceUnavailable(f"Alpha Vantage's answer for {ticker} is malformed: {error}") from error
        except ValueError as error:
            raise SourceUnavailable("Alpha Vantage's answer is not JSON") from error
        if body is None:
            wait = response.headers.get("Retry-After", "")
            raise SourceUnavailable(
                f"Alpha Vantage answered {response.status_code}",
                retry_after=float(wait) if wait.isdigit() else None,
                is_rate_limit=response.status_code == 429,
            )
        series = body.get("Time Series (Daily)") if isinstance(body, dict) else None
        if not isinstance(series, dict) or not series:
            raise self._refusal(body if isinstance(body, dict) else {}, ticker)
        self._require(ticker, body)
        unread = Unread("Alpha Vantage", len(series))
        rows = [{"symbol": instrument.symbol, "ticker": ticker} | bar for bar in _bars(series, request.first, unread)]
        table = as_table(ALPHA_VANTAGE_DAILY_BARS, rows)
        table, beyond = bounded(
            "Alpha Vantage", ALPHA_VANTAGE_DAILY_BARS, table, request.first, request.last, self._clock()
        )
        return Answer({ALPHA_VANTAGE_DAILY_BARS.name: table}, unread.told() + beyond, unread.days)

    def _require(self, ticker: str, body: dict[str, Any]) -> None:
        """Refuse a series that is not the one that was asked for."""
        described = body.get("Meta Data")
        told = described.get("2. Symbol") if isinstance(described, dict) else None
        if not isinstance(told, str) or told.strip().upper() != ticker.upper():
            named = self._redacted(str(told or "no named symbol"))[:40]
            raise SourceRefused(
                f"Alpha Vantage's answer for {ticker} is of {named}, and is not taken; where the share was renamed,"
                " correct alpha_vantage_ticker in seeds/instruments.csv"
            )

    def _refusal(self, body: dict[str, Any], ticker: str) -> Exception:
        text = " ".join(str(body[key]) for key in ("Information", "Note", "Error Message") if key in body)
        told = self._redacted(text)
        refusals: list[tuple[tuple[str, ...], Exception]] = [
            # First, because the sentence about too many requests at once also names the daily limit.
            (
                ("sparingly", "per second"),
                SourceUnavailable("Alpha Vantage found us too fast", retry_after=1.0, is_rate_limit=True),
            ),
            (
                ("per minute",),
                SourceUnavailable("Alpha Vantage found us too fast", retry_after=15.0, is_rate_limit=True),
            ),
            (
                ("per day",),
                SourceUnavailable(
                    "Alpha Vantage has answered its requests for today; the next run asks for the rest",
                    stops_source=True,
                ),
            ),
            (
                ("apikey",),
                SourceRefused(
                    f"Alpha Vantage refuses the key ({told}); correct ALPHA_VANTAGE_API_KEY", stops_source=True
                ),
            ),
            (
                ("premium",),
                SourceRefused(f"Alpha Vantage wants a paid plan for this ({told})", stops_source=True),
            ),
            (
                ("Invalid API call",),
                SourceRefused(
                    f"Alpha Vantage does not know {ticker}; correct alpha_vantage_ticker in seeds/instruments.csv"
                ),
            ),
        ]
        for words, refusal in refusals:
            if any(word in text for word in words):
                return refusal
        return SourceUnavailable(f"Alpha Vantage sent nothing for {ticker}{': ' + told if told else ''}")

    def _redacted(self, text: str) -> str:
        return text.replace(self._api_key, "(the key)")


def _bars(series: dict[str, Any], first: date, unread: Unread) -> Iterator[dict[str, Any]]:
    """The bars of a series from a day on; those that cannot be read are added to ``unread``."""
    for text, fields in series.items():
        day = None
        try:
            # It always sends 100 sessions.
            if (day := date.fromisoformat(text)) >= first:
                yield {"date": day} | _fields(fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            unread.add(day, why(error) if day else f"its day is {text[:40]}")


def _fields(fields: dict[str, str]) -> dict[str, str]:
    """The five values by name, without their numbers, which differ if adjusted closes are included.

    Raises:
        AttributeError: it is no object.
        KeyError: a value is missing.
        TypeError: a value is not a text.
    """
    named = {key.partition(". ")[2]: value for key, value in fields.items()}
    values = {name: named[name] for name in ("open", "high", "low", "close", "volume")}
    for name, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}")
    return values
