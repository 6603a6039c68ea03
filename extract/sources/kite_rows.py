"""Kite's candles and quotes, read one by one, so that one that cannot be read costs itself alone."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from extract.seeds import EXCHANGE_ZONE, Instrument
from extract.sources import Unread, is_number, why

# What reading a part of an answer raises if the part is of another form.
UNREADABLE = (IndexError, KeyError, OverflowError, TypeError, ValueError)


def read_bars(candles: list[Any], instrument: Instrument, token: int, unread: Unread) -> list[dict[str, Any]]:
    """The bars of candles; those that cannot be read are added to ``unread``."""
    unread.sent += len(candles)
    bars = []
    for candle in candles:
        try:
            bars.append(_bar(candle, instrument, token))
        except UNREADABLE as error:
            unread.add(_day(candle), why(error))
    return bars


def _bar(candle: Sequence[Any], instrument: Instrument, token: int) -> dict[str, Any]:
    # A seventh value, the open interest, may follow.
    sent_date, *values = candle[:6]
    opened, high, low, close, volume = _numbers(*values)
    return {
        "symbol": instrument.symbol,
        "instrument_token": token,
        "date": _start(sent_date),
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": int(volume),
    }


def _day(candle: Any) -> date | None:
    try:
        return _start(candle[0]).date()
    except UNREADABLE:
        return None


def _numbers(*values: Any) -> list[float]:
    """Prices, and a volume after them, as Kite sends them.

    Raises:
        ValueError: one of them is not such a number.
    """
    if not all(map(is_number, values)) or values[-1] != int(values[-1]):
        raise ValueError(f"it holds {list(values)}")
    return [float(value) for value in values]


def _start(sent: str) -> datetime:
    start = datetime.fromisoformat(sent)
    # With another zone, or without one, it may be of another day.
    if start.utcoffset() != EXCHANGE_ZONE.utcoffset(start):
        raise ValueError(f"it starts at {sent}, which is not in the time zone {EXCHANGE_ZONE.key}")
    return start


def has_token(quote: Any) -> bool:
    """Whether what was sent as a quote names an instrument."""
    return isinstance(quote, dict) and is_number(quote.get("instrument_token"))


def read_quote(quote: Any, instrument: Instrument, token: int | None) -> dict[str, Any]:
    """The quote of a share, whose token must be the given one, if that is known.

    Raises:
        KeyError: a part of it is missing.
        TypeError: a part of it has another form.
        ValueError: it is of another instrument, or a value is not one that it can have.
    """
    (sent,) = _numbers(quote["instrument_token"])
    if token is not None and sent != token:
        raise ValueError(f"it is of the instrument {quote['instrument_token']!r}, and not of {token}")
    named = ("open", "high", "low", "close")
    *prices, last_price, volume = _numbers(
        *(quote["ohlc"][name] for name in named), quote["last_price"], quote["volume"]
    )
    return {
        "symbol": instrument.symbol,
        "instrument_token": int(sent),
        "timestamp": _moment(quote["timestamp"]),
        "last_trade_time": _moment(quote["last_trade_time"]),
        "last_price": last_price,
        **dict(zip(named, prices, strict=True)),
        "volume": int(volume),
    }


def _moment(sent: str) -> datetime:
    return datetime.strptime(sent, "%Y-%m-%d %H:%M:%S").replace(tzinfo=EXCHANGE_ZONE)
