"""Kite Connect, through its own client: the instruments dump, daily candles, and quotes.

The client does not retry, does not keep to the limits, and does not check the status of what looks like an answer. Its
documented and observed errors are mapped here. https://kite.trade/docs/connect/v3
"""

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import Any

import kiteconnect.exceptions
import pyarrow as pa
import requests
from kiteconnect import KiteConnect

from extract.errors import SourceRefused, SourceUnavailable
from extract.landing.raw import KITE_DAILY_BARS, KITE_INSTRUMENTS, KITE_QUOTES
from extract.network import shortened, unreached
from extract.seeds import Clock, Instrument, exchange_date
from extract.sources import Answer, Request, Unread, as_table, bounded, listed, why
from extract.sources.kite_dump import read_dump
from extract.sources.kite_refusals import OTHER_REFUSAL, refusal
from extract.sources.kite_rows import UNREADABLE, has_token, read_bars, read_quote
from extract.sources.pace import Pacer, Sleep

# The server refuses day candles over more than 2,000 days.
_WINDOW_DAYS = 1990
# One request for quotes may be sent each second.
_QUOTES_PER_SECOND = 1.0
_TIMEOUT_SECONDS = 7.0

_RANGE = re.compile(r"interval exceeds max limit: (\d+) days")


class _Client(KiteConnect):  # type: ignore[misc]
    """Kite's client, changed to return candles, quotes and the instruments dump as they were sent.

    The original parses their dates: it accepts almost anything as a date, and uses 0.15 s of the processor an answer.
    """

    def _format_historical(self, data: dict[str, Any]) -> list[Any]:
        if not isinstance(data["candles"], list):
            raise TypeError(f"candles is {data['candles']!r}")
        return data["candles"]

    def _parse_instruments(self, data: Any) -> bytes:
        # The client's own parser would refuse the whole dump because of one odd row.
        if not isinstance(data, bytes):
            raise kiteconnect.exceptions.DataException("JSON in place of CSV")
        return data

    def _format_response(self, data: Any) -> Any:
        # The original would refuse all quotes because of one odd time.
        return data


class Kite:
    """The primary source."""

    source_id = "kite"
    # Enough that a request is always ready to be sent, even if Kite takes more than a second for an answer.
    workers = 8

    def __init__(
        self,
        api_key: str,
        access_token: str,
        *,
        base_url: str | None,
        requests_per_second: float,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        """Connect with a live token, to Kite or to the server at ``base_url`` (scheme, host and port alone)."""
        self.requests_per_second = requests_per_second
        self._client = _Client(api_key, access_token, root=base_url, timeout=_TIMEOUT_SECONDS)
        # The client hides the status and headers of answers; a hook of its session sees them, in the thread that asked.
        self._client.reqsession.hooks["response"].append(self._see)
        self._seen = threading.local()
        self._pacer = Pacer(requests_per_second, sleep=sleep)
        self._quotes_pacer = Pacer(_QUOTES_PER_SECOND, sleep=sleep)
        self._clock = clock
        self._window_days = _WINDOW_DAYS
        # Of the last dump: the tokens, and why it has none of a share; both by tradingsymbol.
        self._tokens: dict[str, int] = {}
        self._odd: dict[str, str] = {}
        self._dumped_at: datetime | None = None
        self._dump_lock = threading.Lock()
        # A dump that was fetched without a request for it is returned with the next answer, so that it is archived too.
        self._unasked_dump: Answer | None = None

    def hold(self, seconds: float) -> None:
        """Send no request for candles for some seconds."""
        self._pacer.hold(seconds)

    def fetch(self, request: Request) -> Answer:
        """Fetch the instruments dump, the candles of one instrument, or the quotes of up to 500; see ``Source``."""
        if request.table is KITE_INSTRUMENTS:
            return self._instruments()
        if request.table is KITE_QUOTES:
            answer = self._quotes(request)
        else:
            (instrument,) = request.instruments
            answer = self._daily_bars(instrument, request.first, request.last)
        with self._dump_lock:
            dump, self._unasked_dump = self._unasked_dump, None
        return answer if dump is None else Answer({**answer, **dump}, answer.left_out + dump.left_out, answer.unread)

    def _instruments(self) -> Answer:
        with self._errors("CSV"):
            sent = self._client.instruments("NSE")
        dump = read_dump(sent)
        told = [text for _, text in dump.odd]
        if not dump.rows:
            raise SourceUnavailable("Kite's instruments dump is empty" + (f": {listed(told)}" if told else ""))
        table = as_table(KITE_INSTRUMENTS, dump.rows)
        self._tokens, self._odd = dump.tokens, dict(dump.odd)
        self._dumped_at = self._clock()
        left_out = [f"{len(told)} rows of Kite's instruments dump are left out: {listed(told)}"] if told else []
        return Answer({KITE_INSTRUMENTS.name: table}, left_out)

    def _daily_bars(self, instrument: Instrument, first: date, last: date) -> Answer:
        asked_at = self._clock()
        try:
            return self._windows(instrument, first, last)
        except kiteconnect.exceptions.InputException as error:
            if limit := _RANGE.search(str(error)):
                self._window_days = int(limit[1]) - 10
            elif "invalid token" in str(error):
                # Kite says this for a token that has changed since the dump, and sometimes wrongly, in bursts.
                with self._dump_lock:
                    if self._dumped_at is None or self._dumped_at <= asked_at:
                        self._unasked_dump = self._instruments()
            else:
                raise SourceRefused(f"Kite refuses the request for {instrument.symbol}: {error}") from error
        try:
            return self._windows(instrument, first, last)
        except kiteconnect.exceptions.InputException as error:
            raise SourceRefused(
                f"Kite refuses {instrument.symbol}, also with a fresh instruments dump: {error}; where it was suspended"
                " or delisted, its history cannot be had from Kite any more"
            ) from error

    def _windows(self, instrument: Instrument, first: date, last: date) -> Answer:
        token = self._token(instrument)
        windows: list[pa.Table] = []
        left_out: list[str] = []
        unread = Unread("Kite")
        start = first
        while start <= last:
            end = min(last, start + timedelta(days=self._window_days - 1))
            self._pacer.wait()
            with self._errors():
                candles = self._client.historical_data(
                    token,
                    # Without zone, because the client would drop it; with hours, because `to` alone means midnight.
                    datetime.combine(start, time()),
                    datetime.combine(end, time(23, 59, 59)),
                    "day",
                )
            table = as_table(KITE_DAILY_BARS, read_bars(candles, instrument, token, unread))
            table, beyond = bounded("Kite", KITE_DAILY_BARS, table, start, end, self._clock())
            windows.append(table)
            left_out += beyond
            start = end + timedelta(days=1)
        # There are no windows if the range ends before it begins: the answer is empty.
        rows = pa.concat_tables([as_table(KITE_DAILY_BARS, []), *windows])
        return Answer({KITE_DAILY_BARS.name: rows}, unread.told() + left_out, unread.days)

    def _token(self, instrument: Instrument) -> int:
        with self._dump_lock:
            if not self._tokens:
                self._unasked_dump = self._instruments()
        symbol = instrument.kite_tradingsymbol
        token = self._tokens.get(symbol)
        if token is None and symbol in self._odd:
            raise SourceRefused(f"Kite's instruments dump has no usable token of {self._odd[symbol]}")
        if token is None:
            raise SourceRefused(
                f"{symbol} is not in Kite's instruments dump: renamed, moved to another series, suspended or delisted;"
                " correct kite_tradingsymbol in seeds/instruments.csv"
            )
        return token

    def _quotes(self, request: Request) -> Answer:
        last = min(request.last, exchange_date(self._clock()))
        unread: list[str] = []
        asked = self._with_tokens(request.instruments, unread)
        rows, to_come = [], []
        sent: Counter[object] = Counter()
        self._quotes_pacer.wait()
        with self._errors():
            answer = self._client.quote(list(asked)) if asked else {}
            sent.update(quote["instrument_token"] for quote in answer.values() if has_token(quote))
        # A share without data is absent from the answer.
        for key in filter(answer.__contains__, asked):
            instrument, token = asked[key]
            try:
                row = read_quote(answer[key], instrument, token)
                if sent[row["instrument_token"]] > 1:
                    raise ValueError(f"another share has the same instrument_token, {row['instrument_token']}")
            except UNREADABLE as error:
                unread.append(f"{instrument.symbol} ({why(error)})")
                continue
            traded_on = row["last_trade_time"].date()
            if traded_on > last:
                to_come.append(f"{instrument.symbol} {traded_on}")
            elif traded_on >= request.first:
                # A quote of an older trade is not a bar of today.
                rows.append(row)
        left_out = [
            f"Kite's quotes {what} are left out: {listed(sorted(names))}"
            for names, what in ((unread, "that cannot be read"), (to_come, "of days that have not come"))
            if names
        ]
        if answer and not rows:
            told = "".join(f"; {sentence}" for sentence in left_out)
            raise SourceUnavailable(f"no quote from Kite is complete and from the day asked for{told}")
        return Answer({KITE_QUOTES.name: as_table(KITE_QUOTES, rows)}, left_out)

    def _with_tokens(
        self, instruments: Sequence[Instrument], unread: list[str]
    ) -> dict[str, tuple[Instrument, int | None]]:
        """The instruments by Kite's key, each with the token that its quote must have.

        Those that the dump lacks are ``unread``. No dump is fetched for quotes alone: without one, the tokens are None.
        """
        keys = {}
        for instrument in instruments:
            try:
                token = self._token(instrument) if self._tokens else None
                keys[f"NSE:{instrument.kite_tradingsymbol}"] = instrument, token
            except SourceRefused as error:
                unread.append(f"{instrument.symbol} ({error})")
        return keys

    def _see(self, response: requests.Response, *_: object, **__: object) -> None:
        self._seen.response = response

    @contextmanager
    def _errors(self, expected: str = "JSON") -> Iterator[None]:
        """Turn errors of the client into our two errors; InputException passes, for the caller to examine."""
        self._seen.response = None
        try:
            yield
        except kiteconnect.exceptions.KiteException as error:
            response = self._seen.response
            status = error.code if response is None else response.status_code
            if reason := refusal(error, status):
                raise SourceRefused(reason, stops_source=True) from error
            if isinstance(error, kiteconnect.exceptions.InputException):
                raise
            # If an answer cannot be parsed, the client's message quotes all of it: a page, or half an answer.
            is_unreadable = isinstance(error, kiteconnect.exceptions.DataException)
            raise SourceUnavailable(
                f"Kite answered {status}: {f'no {expected}' if is_unreadable else shortened(str(error))}",
                retry_after=None if response is None else retry_after(response),
                is_rate_limit=status == 429,
            ) from error
        except requests.RequestException as error:
            raise SourceUnavailable(
                f"Kite could not be reached: {unreached(error, self._client.root)}", is_unreached=True
            ) from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise SourceUnavailable(
                f"Kite's answer is malformed: {type(error).__name__} {shortened(str(error))}"
            ) from error
        response = self._seen.response
        if response is not None and response.status_code >= 400:
            # The client accepts any body that does not say "error" as an answer.
            if response.status_code == requests.codes.forbidden:
                raise SourceRefused(OTHER_REFUSAL.format(told="it does not say why"), stops_source=True)
            raise SourceUnavailable(f"Kite answered {response.status_code}", retry_after=retry_after(response))


def retry_after(response: requests.Response) -> float | None:
    """The seconds that a ``Retry-After`` header asks for; None without one, or if it has a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None
