"""Yahoo Finance, through yfinance: unadjusted daily bars, dividends and splits, one ticker at a time.

By default, yfinance hides most failures, and it has mixed up several tickers in one call in the past. Here, an empty
frame is never taken as an answer. Observed in yfinance 1.7.0.
"""

import functools
import json
import logging
import tempfile
import warnings
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

import curl_cffi
import curl_cffi.requests.exceptions
import numpy as np
import pandas as pd
import pyarrow as pa
import yfinance as yf
import yfinance.cache
import yfinance.data
from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

from extract.errors import SourceRefused, SourceUnavailable
from extract.landing.raw import YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.network import shortened, unreached
from extract.seeds import EXCHANGE_ZONE, Clock, Instrument, exchange_date, former_symbols
from extract.sources import Answer, Request, Unread, as_table, bounded, outside
from extract.sources.pace import Pacer, Sleep
from extract.sources.yahoo_chart import chart_actions, chart_days, days_without_volume, fault, read_chart, sift
from extract.sources.yahoo_refusals import blocked, other_instrument

_TIMEOUT_SECONDS = 7.0
_PRICES = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Adj Close": "adj_close"}


class Yahoo:
    """The fallback, and the second opinion."""

    source_id = "yahoo"
    # No limit is documented, but clients with more than one request at a time get blocked.
    workers = 1

    def __init__(self, *, base_url: str | None, requests_per_second: float, clock: Clock, sleep: Sleep) -> None:
        """Connect to Yahoo, or send every request to the server at ``base_url`` instead."""
        self.requests_per_second = requests_per_second
        self._pacer = Pacer(requests_per_second, sleep=sleep)
        self._clock = clock
        _cache_folder()
        yf.config.debug.hide_exceptions = False
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        # Warnings about yfinance's own code, such as its use of pandas, do not belong in our log.
        warnings.filterwarnings("ignore", module=r"yfinance\.")
        self._session = _Session(base_url)
        self._former_symbols = former_symbols()

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        self._pacer.hold(seconds)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def fetch(self, request: Request) -> Answer:
        """Fetch the bars and corporate actions of one instrument; see ``Source``."""
        (instrument,) = request.instruments
        ticker = instrument.yahoo_ticker
        # Store the known time zone: otherwise, yfinance sends a request for it.
        yfinance.cache.get_tz_cache().store(ticker, EXCHANGE_ZONE.key)
        # yfinance caches answers about past ranges, even bad ones.
        yfinance.data.YfData.cache_get.cache_clear()
        self._pacer.wait()
        self._session.expect({ticker, *(f"{symbol}.NS" for symbol in self._symbols(instrument))})
        try:
            frame = yf.Ticker(ticker, session=self._session).history(
                start=request.first.isoformat(),
                end=(request.last + timedelta(days=1)).isoformat(),
                interval="1d",
                auto_adjust=False,
                actions=True,
                keepna=True,
                timeout=_TIMEOUT_SECONDS,
            )
            chart = self._session.chart or {}
            actions, odd = chart_actions(chart)
            parts = [
                (YAHOO_DAILY_BARS, _bars(frame, instrument, days_without_volume(chart))),
                (YAHOO_CORPORATE_ACTIONS, _corporate_actions(actions, instrument)),
            ]
        except YFPricesMissingError as error:
            if "Data doesn't exist" in (error.yahoo_reason or ""):
                return Answer({YAHOO_DAILY_BARS.name: YAHOO_DAILY_BARS.provider_columns.empty_table()})
            raise self._session.wrong or _refusal(error, ticker, self._session.address) from error
        except _FORESEEN as error:
            # A fault that was found in the answer itself is more precise than yfinance's error.
            raise self._session.wrong or _refusal(error, ticker, self._session.address) from error
        except Exception as error:
            # pandas has errors of its own for values that are neither times nor numbers.
            if self._session.wrong is None:
                raise
            raise self._session.wrong from error
        if self._session.wrong:
            raise self._session.wrong
        asked = (request.first, request.last, self._clock())
        # yfinance silently drops a last bar beyond the range, so the days come from the answer itself.
        days = chart_days(chart) + [day for day, *_ in actions]
        unread = self._session.unread
        left_out = [*unread.told(), *self._session.left_out, *odd, *outside("Yahoo", days, *asked)]
        tables = {table.name: bounded("Yahoo", table, rows, *asked)[0] for table, rows in parts}
        return Answer(tables, left_out, unread.days)

    def _symbols(self, instrument: Instrument) -> set[str]:
        """The NSE symbols under which Yahoo may answer: for a renamed share, the new or the old one."""
        today = exchange_date(self._clock())
        former = self._former_symbols.get(instrument.instrument_id, {})
        return {instrument.symbol} | {symbol for symbol, last_used_on in former.items() if today <= last_used_on}


_FORESEEN = (
    YFException,
    curl_cffi.requests.exceptions.RequestException,
    pa.ArrowException,
    # Includes errors of JSON and of numbers.
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
)


def _refusal(error: Exception, ticker: str, address: str) -> SourceRefused | SourceUnavailable:
    """One of our two errors for an error of yfinance."""
    if isinstance(error, YFRateLimitError):
        return blocked("429, too many requests", is_rate_limit=True)
    if isinstance(error, YFPricesMissingError):
        reason = error.yahoo_reason or ""
        if "delisted" in reason or "Not Found" in reason:
            return SourceRefused(
                f"Yahoo does not know {ticker} ({reason}); correct yahoo_ticker in seeds/instruments.csv"
            )
        return SourceUnavailable(f"Yahoo sent no prices: {reason or 'it is out of order, or has lost the ticker'}")
    if isinstance(error, curl_cffi.requests.exceptions.RequestException):
        return SourceUnavailable(f"Yahoo could not be reached: {unreached(error, address)}", is_unreached=True)
    if isinstance(error, json.JSONDecodeError):
        return SourceUnavailable("Yahoo's answer is not JSON")
    return SourceUnavailable(f"Yahoo's answer is malformed: {type(error).__name__} {shortened(str(error))}")


@functools.cache
def _cache_folder() -> tempfile.TemporaryDirectory[str]:
    """The folder of yfinance's caches: one for this process, removed when it ends.

    The default is the home folder, which is read-only in containers; and processes block each other on one database.
    """
    folder = tempfile.TemporaryDirectory(prefix="yfinance-")
    yf.set_tz_cache_location(folder.name)
    return folder


class _Session(curl_cffi.requests.Session):
    """The HTTP client that yfinance uses; it checks each answer before yfinance parses it.

    Attributes:
        wrong: why the last answer cannot be used, whatever yfinance returns for it; None if it can.
        left_out: the events that were removed from the answer before yfinance parsed it, a sentence each.
        unread: the bars that were removed from it.
        chart: the rest of the answer, as JSON; None if it has no prices.
        address: the address of the last request.
    """

    def __init__(self, base_url: str | None) -> None:
        """Send every request to the server at ``base_url`` in place of Yahoo's hosts, which yfinance has built in."""
        super().__init__(impersonate=None if base_url else "chrome")
        self._base = urlsplit(base_url) if base_url else None
        self.address = base_url or ""
        self.expect(set())

    def expect(self, tickers: set[str]) -> None:
        """Accept the next answer only if it is of one of these tickers."""
        self._tickers = tickers
        self.wrong: SourceRefused | SourceUnavailable | None = None
        self.left_out: list[str] = []
        self.unread = Unread("Yahoo")
        self.chart: dict[str, Any] | None = None

    def request(self, method: Any, url: str, *arguments: Any, **options: Any) -> Any:
        address = urlsplit(url)
        if self._base:
            address = address._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        self.address = address.geturl()
        response = super().request(method, self.address, *arguments, **options)
        if "/finance/chart/" in address.path:
            self.chart = chart = read_chart(response)
            if chart and "timestamp" in chart:
                self.left_out, self.unread = sift(chart)
                # The events are ours to read: yfinance would refuse all prices for an odd one.
                rest = {name: part for name, part in chart.items() if name != "events"}
                response.content = json.dumps({"chart": {"result": [rest], "error": None}}).encode()
            self.wrong = (
                fault(response, chart)
                or (other_instrument(chart, self._tickers) if chart else None)
                or self.unread.fault()
            )
        return response


def _bars(frame: pd.DataFrame, instrument: Instrument, without_volume: set[date]) -> pa.Table:
    prices = {ours: pa.array(frame[theirs].to_numpy(float), from_pandas=True) for theirs, ours in _PRICES.items()}
    # yfinance makes a null volume zero, which would be a valid one.
    is_unknown = [day in without_volume for day in frame.index.date]
    volume = frame["Volume"].astype("int64")
    # Yahoo has rows without values for some days.
    is_bar = frame[list(_PRICES)].notna().any(axis=1) | (volume > 0)
    schema = YAHOO_DAILY_BARS.provider_columns
    others = {
        "volume": pa.array(volume.to_numpy(), mask=np.array(is_unknown, bool)),
        "is_withdrawn": pa.nulls(len(frame), pa.bool_()),
    }
    rows = pa.table(_of(instrument, frame) | prices | others)
    return rows.filter(pa.array(is_bar.to_numpy())).select(schema.names).cast(schema)


def _corporate_actions(actions: list[tuple[date, float, float]], instrument: Instrument) -> pa.Table:
    rows = [
        {
            "symbol": instrument.symbol,
            "ticker": instrument.yahoo_ticker,
            "date": datetime.combine(day, time(), EXCHANGE_ZONE),
            "dividend": dividend,
            "split_ratio": ratio,
        }
        for day, dividend, ratio in actions
    ]
    return as_table(YAHOO_CORPORATE_ACTIONS, rows)


def _of(instrument: Instrument, frame: pd.DataFrame) -> dict[str, pa.Array]:
    naive = frame.index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    times = pa.array(naive).cast(pa.timestamp("us", "UTC"))
    return {
        "symbol": pa.repeat(pa.scalar(instrument.symbol), len(frame)),
        "ticker": pa.repeat(pa.scalar(instrument.yahoo_ticker), len(frame)),
        "date": times,
    }
