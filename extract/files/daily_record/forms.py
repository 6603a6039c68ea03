"""The three forms of the record: the headings of each, and how one of its rows is read."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo, model_validator

from extract.files.days import read_day
from extract.files.kind import IsinField, Kind, Reading, Record, SaysNothing, SymbolField, is_blank
from extract.landing.raw import NSE_DAILY_BARS

# Above this, a float cannot represent every whole number.
LARGEST_COUNT = 2**53

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# A count in the form that a spreadsheet gives it in a narrow column: the digits after the point, and the exponent.
# R writes 100000 as 1e+05, with a small letter, and loses nothing.
_SHORTENED = re.compile(r"[0-9](?:\.([0-9]*))?E\+?([0-9]{1,3})")
_SERIES = re.compile("[A-Z0-9]{1,3}")

SEGMENTS = {
    "CM": "equities",
    "FO": "derivatives (F&O)",
    "CD": "currency derivatives",
    "CO": "commodity derivatives",
    "IRD": "interest rate derivatives",
}
SHARE = "STK"
INSTRUMENT_TYPE = re.compile("[A-Z]{3}")


def _series(text: str | None) -> str:
    series = (text or "").strip().upper()
    if not _SERIES.fullmatch(series):
        raise ValueError(f"its series {series!r} is not a series such as EQ")
    return series


def _isin(text: str | None) -> str | None:
    return None if is_blank(text) else text


def _number(text: str | None, info: ValidationInfo) -> float | None:
    if text is None or is_blank(text):
        return None
    text = text.strip()
    number = float(text) if _NUMBER.fullmatch(text) else float("nan")
    # Rejects infinity too, to which a number of 400 digits is parsed.
    if not abs(number) < float("inf"):
        raise ValueError(f"its {_word(info)} {text[:30]!r} is not a number")
    if number < 0:
        raise ValueError(f"its {_word(info)} {text[:30]} is below 0")
    return number


def _price(text: str | None, info: ValidationInfo) -> float:
    price = _number(text, info)
    if price is None:
        raise ValueError(f"it has no {_word(info)}")
    if price == 0:
        raise ValueError(f"its {_word(info)} is 0")
    return price


def _count(text: str | None, info: ValidationInfo) -> int | None:
    number = _number(text, info)
    if number is not None and (number != int(number) or number >= LARGEST_COUNT):
        raise ValueError(f"its {_word(info)} {str(text).strip()[:30]} is not a whole number, or too large")
    shortened = _SHORTENED.fullmatch((text or "").strip())
    if shortened and int(shortened[2]) > len(shortened[1] or ""):
        raise ValueError(f"its {_word(info)} {shortened[0][:30]} has lost its last digits; a spreadsheet shows it so")
    return None if number is None else int(number)


def _volume(text: str | None, info: ValidationInfo) -> int:
    volume = _count(text, info)
    if volume is None:
        raise ValueError("it has no volume")
    return volume


def _day(text: str | None, info: ValidationInfo) -> date:
    reading = info.context
    assert isinstance(reading, Reading)
    try:
        return read_day(text or "", first=reading.first)
    except ValueError:
        raise ValueError(f"its day {(text or '').strip()[:30]!r} is not a day such as 05-JUL-2024") from None


def _word(info: ValidationInfo) -> str:
    return str(info.field_name).replace("_", " ")


type _Price = Annotated[float, BeforeValidator(_price)]
type _Amount = Annotated[float | None, BeforeValidator(_number)]
type _Count = Annotated[int | None, BeforeValidator(_count)]


class _Bar(Record):
    symbol: SymbolField
    series: Annotated[str, BeforeValidator(_series)]
    isin: Annotated[IsinField, BeforeValidator(_isin)] = None
    exchange_token: _Count = None
    date: Annotated[date, BeforeValidator(_day)]
    open: _Price
    high: _Price
    low: _Price
    close: _Price
    last: _Amount = None
    prev_close: _Amount = None
    volume: Annotated[int, BeforeValidator(_volume)]
    turnover: _Amount = None
    trades: _Count = None
    delivered_volume: _Count = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_trade_in_a_share(cls, cells: Mapping[str, str | None]) -> Mapping[str, str | None]:
        market, segment, sort = ((cells.get(name) or "").strip() for name in ("market", "segment", "instrument_type"))
        if "market" in cells and market != "NSE":
            raise ValueError(f"its market {market!r} is not NSE")
        if "segment" in cells and segment != "CM":
            if segment in SEGMENTS:
                raise SaysNothing(f"it is of {SEGMENTS[segment]}, and of no share")
            raise ValueError(f"its segment {segment!r} is not CM")
        if "instrument_type" in cells and sort != SHARE:
            if INSTRUMENT_TYPE.fullmatch(sort):
                raise SaysNothing(f"it is of the instrument type {sort}, and of no share")
            raise ValueError(f"its instrument type {sort!r} is not {SHARE}")
        prices = [cells.get(name) for name in ("volume", "open", "high", "low")]
        if all(re.fullmatch(r"\s*0+(\.0*)?\s*", price or "") for price in prices):
            raise SaysNothing("it was not traded")
        return cells

    @model_validator(mode="after")
    def _is_in_order(self) -> "_Bar":
        if self.high < self.low:
            raise ValueError(f"its high {self.high} is below its low {self.low}")
        return self


# Older files lack some of these columns, and people delete others.
_OPTIONAL = {"isin", "exchange_token", "last", "turnover", "trades", "delivered_volume", "market"}


def _form(name: str, headings: Mapping[str, str]) -> Kind:
    spelled = {column: (heading,) for column, heading in headings.items()}
    required = tuple(column for column in spelled if column not in _OPTIONAL)
    return Kind(name, NSE_DAILY_BARS, spelled, required, days=("date",), record=_Bar)


LEGACY = _form(
    "daily record (legacy)",
    {
        "symbol": "symbol",
        "series": "series",
        "isin": "isin",
        "date": "timestamp",
        "open": "open",
        "high": "high",
        "low": "low",
        "close": "close",
        "last": "last",
        "prev_close": "prevclose",
        "volume": "tottrdqty",
        "turnover": "tottrdval",
        "trades": "totaltrades",
    },
)
UDIFF = _form(
    "daily record (UDiFF)",
    {
        "symbol": "tckrsymb",
        "series": "sctysrs",
        "isin": "isin",
        "exchange_token": "fininstrmid",
        "date": "traddt",
        "open": "opnpric",
        "high": "hghpric",
        "low": "lwpric",
        "close": "clspric",
        "last": "lastpric",
        "prev_close": "prvsclsgpric",
        "volume": "ttltradgvol",
        "turnover": "ttltrfval",
        "trades": "ttlnboftxsexctd",
        "market": "src",
        "segment": "sgmt",
        "instrument_type": "fininstrmtp",
    },
)
WITH_DELIVERY = _form(
    "daily record (with delivery)",
    {
        "symbol": "symbol",
        "series": "series",
        "date": "date1",
        "open": "openprice",
        "high": "highprice",
        "low": "lowprice",
        "close": "closeprice",
        "last": "lastprice",
        "prev_close": "prevclose",
        "volume": "ttltrdqnty",
        "turnover": "turnoverlacs",
        "trades": "nooftrades",
        "delivered_volume": "delivqty",
    },
)
DAILY_RECORDS = (LEGACY, UDIFF, WITH_DELIVERY)

# How many rupees the unit of the file's turnover is.
RUPEES_PER_UNIT = {LEGACY.name: 1.0, UDIFF.name: 1.0, WITH_DELIVERY.name: 100_000.0}
