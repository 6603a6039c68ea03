"""Yahoo Finance, through yfinance: unadjusted daily bars, dividends and splits, one ticker at a time.

yfinance hides most failures unless told not to, and several tickers in one call were mixed up in the past; an empty
frame is never taken for an answer here. Seen in yfinance 1.7.0.
"""

import functools
import json
import logging
import tempfile
import warnings
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import curl_cffi
import curl_cffi.requests.exceptions
import numpy as np
import pandas as pd
import pyarrow as pa
import yfinance as yf
import yfinance.cache
import yfinance.data
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

from extract.errors import SourceRefused, SourceUnavailable
from extract.pace import Pacer, Sleep
from extract.raw import YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, Instrument
from extract.sources import Answer, Clock, Request

_TIMEOUT_SECONDS = 7.0
_PRICES = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Adj Close": "adj_close"}


class Yahoo:
    """The fallback, and the second opinion."""

    source_id = "yahoo"
    # There is no documented limit; more than one request at a time is what gets blocked.
    workers = 1

    def __init__(self, *, base_url: str | None, requests_per_second: float, clock: Clock, sleep: Sleep) -> None:
        """Connect to Yahoo, or send every request to the server at ``base_url`` instead."""
        self.requests_per_second = requests_per_second
        self._pacer = Pacer(requests_per_second, sleep=sleep)
        self._clock = clock
        _cache_folder()
        yf.config.debug.hide_exceptions = False
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        # What yfinance still owes pandas is no news to whoever reads our log.
        warnings.filterwarnings("ignore", module=r"yfinance\.")
        self._session = _Session(base_url)

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
        # Known, so that it need not be asked for with a request of its own.
        yfinance.cache.get_tz_cache().store(ticker, EXCHANGE_ZONE.key)
        # Of a range in the past, yfinance keeps the answer, also a bad one.
        yfinance.data.YfData.cache_get.cache_clear()
        self._pacer.wait()
        try:
            self._session.wrong = None
            frame = yf.Ticker(ticker, session=self._session).history(
                start=request.first.isoformat(),
                end=(request.last + timedelta(days=1)).isoformat(),
                interval="1d",
                auto_adjust=False,
                actions=True,
                keepna=True,
                timeout=_TIMEOUT_SECONDS,
            )
            if self._session.wrong:
                raise SourceUnavailable(self._session.wrong)
            return {
                YAHOO_DAILY_BARS.name: _bars(frame, instrument),
                YAHOO_CORPORATE_ACTIONS.name: _corporate_actions(frame, instrument),
            }
        except YFRateLimitError as error:
            raise SourceUnavailable(
                "Yahoo limits our requests; the next run asks again for what is missing",
                stops_source=True,
                is_rate_limit=True,
            ) from error
        except YFPricesMissingError as error:
            reason = error.yahoo_reason or ""
            if "delisted" in reason or "Not Found" in reason:
                raise SourceRefused(
                    f"Yahoo does not know {ticker} ({reason}); correct yahoo_ticker in seeds/instruments.csv"
                ) from error
            if "Data doesn't exist" in reason:
                return {YAHOO_DAILY_BARS.name: YAHOO_DAILY_BARS.provider_columns.empty_table()}
            raise SourceUnavailable(
                f"Yahoo sent no prices: {reason or 'it is out of order, or has lost the ticker'}"
            ) from error
        except curl_cffi.requests.exceptions.RequestException as error:
            raise SourceUnavailable(f"Yahoo could not be reached: {_shortened(error)}") from error
        except json.JSONDecodeError as error:
            raise SourceUnavailable("Yahoo's answer is no JSON") from error
        except (
            YFException,
            pa.ArrowException,
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            OverflowError,
        ) as error:
            raise SourceUnavailable(
                f"Yahoo's answer is malformed: {type(error).__name__} {_shortened(error)}"
            ) from error


@functools.cache
def _cache_folder() -> tempfile.TemporaryDirectory[str]:
    """Where yfinance keeps its caches: one folder for a process, as it keeps one of each, removed with the process.

    Home folders are read-only in containers, and processes lock each other out of one database.
    """
    folder = tempfile.TemporaryDirectory(prefix="yfinance-")
    yf.set_tz_cache_location(folder.name)
    return folder


class _Session(curl_cffi.requests.Session):
    """yfinance's own client; it looks at the answers before yfinance makes of them what it can.

    Attributes:
        wrong: what is wrong with the last answer, though yfinance takes it for one.
    """

    def __init__(self, base_url: str | None) -> None:
        """Send every request to another server than Yahoo's, whose hosts yfinance has written into it, or to Yahoo."""
        super().__init__(impersonate=None if base_url else "chrome")
        self._base = urlsplit(base_url) if base_url else None
        self.wrong: str | None = None

    def request(self, method: Any, url: str, *arguments: Any, **options: Any) -> Any:
        address = urlsplit(url)
        if self._base:
            address = address._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        response = super().request(method, address.geturl(), *arguments, **options)
        if "/finance/chart/" in address.path:
            self.wrong = _fault(response)
        return response


class _Sent(BaseModel):
    """A part of a chart; numbers are none that stand in quotes, no booleans, and finite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


# yfinance makes it a 64-bit integer: a fraction would be lost, and what is beyond would become another number.
_Volume = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Column = list[float | None]


class _Quote(_Sent):
    open: _Column
    high: _Column
    low: _Column
    close: _Column
    volume: list[_Volume | None]


class _Adjusted(_Sent):
    adjclose: _Column


class _Indicators(_Sent):
    quote: list[_Quote]
    adjclose: list[_Adjusted] = []


class _Dividend(_Sent):
    date: int
    amount: float


class _Split(_Sent):
    date: int
    numerator: float = Field(gt=0)
    denominator: float = Field(gt=0)


class _Events(_Sent):
    dividends: dict[str, _Dividend] = {}
    splits: dict[str, _Split] = {}


class _Meta(_Sent):
    # yfinance dates the bars in the zone that is named here, or by so many seconds from UTC where it is a number.
    exchangeTimezoneName: Literal["Asia/Kolkata"]  # noqa: N815 Yahoo's name.
    dataGranularity: Literal["1d"]  # noqa: N815


class _Chart(_Sent):
    """What is read of an answer that holds prices."""

    meta: _Meta
    timestamp: list[int]
    indicators: _Indicators
    events: _Events = _Events()


def _fault(response: curl_cffi.requests.Response) -> str | None:
    """What is wrong with an answer that holds prices: yfinance looks at no status, and reads texts as numbers."""
    try:
        # The bytes, as yfinance's client reads them: it takes no offence at a byte-order mark.
        chart = json.loads(response.content)["chart"]["result"][0]
        has_prices = "timestamp" in chart
    except (ValueError, KeyError, TypeError, IndexError):
        has_prices = False
    if not has_prices:
        # yfinance tells why.
        return None
    if response.status_code >= 400:
        return f"Yahoo answered {response.status_code}"
    try:
        _Chart.model_validate(chart)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False)
        place = ".".join(map(str, first["loc"])) or "the chart"
        return f"Yahoo's answer is malformed: {place} is {_shortened(repr(first['input']))}: {first['msg']}"
    return None


def _bars(frame: pd.DataFrame, instrument: Instrument) -> pa.Table:
    prices = {ours: pa.array(frame[theirs].to_numpy(float), from_pandas=True) for theirs, ours in _PRICES.items()}
    volume = frame["Volume"].fillna(0).astype("int64")
    # A corporate action on a day without a bar comes as a row without one.
    is_bar = frame[list(_PRICES)].notna().any(axis=1) | (volume > 0)
    rows = pa.table(_of(instrument, frame) | prices | {"volume": pa.array(volume.to_numpy())})
    schema = YAHOO_DAILY_BARS.provider_columns
    return rows.filter(pa.array(is_bar.to_numpy())).select(schema.names).cast(schema)


def _corporate_actions(frame: pd.DataFrame, instrument: Instrument) -> pa.Table:
    acted = frame[(frame["Dividends"] != 0) | (frame["Stock Splits"] != 0)]
    if not np.isfinite(acted[["Dividends", "Stock Splits"]].to_numpy(float)).all():
        raise ValueError(f"a corporate action of {instrument.yahoo_ticker} is not finite")
    actions = {
        "dividend": pa.array(acted["Dividends"].to_numpy(float)),
        "split_ratio": pa.array(acted["Stock Splits"].to_numpy(float)),
    }
    schema = YAHOO_CORPORATE_ACTIONS.provider_columns
    return pa.table(_of(instrument, acted) | actions).select(schema.names).cast(schema)


def _of(instrument: Instrument, frame: pd.DataFrame) -> dict[str, pa.Array]:
    naive = frame.index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    times = pa.array(naive).cast(pa.timestamp("us", "UTC"))
    return {
        "symbol": pa.repeat(pa.scalar(instrument.symbol), len(frame)),
        "ticker": pa.repeat(pa.scalar(instrument.yahoo_ticker), len(frame)),
        "date": times,
    }


def _shortened(told: Exception | str) -> str:
    # curl ends each sentence with the address of its manual.
    return str(told).strip().partition("\n")[0].partition(". See https")[0][:200]
