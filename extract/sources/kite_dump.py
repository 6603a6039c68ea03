"""Kite's instruments dump, a CSV file of some thousand rows. An odd row is left out, and does not affect the others."""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from extract.errors import SourceUnavailable
from extract.landing.raw import KITE_INSTRUMENTS
from extract.network import shortened
from extract.sources import listed

# The exchange that is asked for. It is also the last column of each row: if a dump is cut, the last row lacks it.
_EXCHANGE = "NSE"
# The segment of shares, and the code of that segment in the tokens of its instruments.
_SHARES, _SHARES_CODE = "NSE", 1


@dataclass(frozen=True, slots=True)
class Dump:
    """What a dump holds.

    Attributes:
        rows: in the columns of the raw table ``kite_instruments``.
        odd: the rows that are left out: the tradingsymbol of each, as far as it could be read, and a text with its
            line, its name and the reason.
    """

    rows: list[dict[str, Any]]
    odd: list[tuple[str, str]]

    @property
    def tokens(self) -> dict[str, int]:
        """The token of each share by its tradingsymbol."""
        # A share in another series, such as a suspended one, has a suffix for the series in its name.
        return {row["tradingsymbol"]: row["instrument_token"] for row in self.rows if row["segment"] == _SHARES}


def read_dump(dump: bytes) -> Dump:
    """Read the dump.

    Raises:
        SourceUnavailable: it is no CSV, is cut off, or lacks a column.
    """
    # Spreadsheets and some servers put a byte-order mark first.
    text = dump.decode("utf-8-sig", errors="replace")
    if text.lstrip()[:1] in {"<", "{", "["}:
        raise SourceUnavailable(f"Kite's instruments dump is not CSV: it begins with {shortened(text)[:40]!r}")
    lines = re.split(r"\r\n?|\n", text)
    try:
        header = [name.strip() for name in _values(lines[0])]
        is_cut = _is_cut(lines[-1], header)
    except ValueError as error:
        raise SourceUnavailable(f"Kite's instruments dump is malformed: {error}") from error
    missing = set(KITE_INSTRUMENTS.provider_columns.names) - set(header)
    if missing and any(header):
        raise SourceUnavailable(f"Kite's instruments dump lacks the columns {', '.join(sorted(missing))}")
    if is_cut:
        raise SourceUnavailable(f"Kite's instruments dump is cut off in line {len(lines)}; run it again")
    rows: list[tuple[int, dict[str, Any]]] = []
    odd: list[tuple[str, str]] = []
    # Each line by itself: a quote that is not closed would take the lines after it into its value.
    for number, line in enumerate(lines[1:], 2):
        sent: dict[str, str] = {}
        try:
            sent = dict(zip(header, (value.strip() for value in _values(line)), strict=False))
            if any(sent.values()):
                rows.append((number, _row(sent)))
        except ValueError as error:
            odd.append(_odd(sent.get("tradingsymbol", ""), f"line {number}", str(error)))
    ambiguous = dict(_ambiguous(rows))
    odd += ambiguous.values()
    return Dump([row for number, row in rows if number not in ambiguous], odd)


def _values(line: str) -> list[str]:
    """The values of a line.

    Raises:
        ValueError: it is no line of CSV.
    """
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _is_cut(last: str, header: list[str]) -> bool:
    """Whether the last line, after which there is no line end, is a part of a row."""
    values = _values(last)
    exchange = values[-1].strip() if values else _EXCHANGE
    return any(values) and (len(values) < len(header) or (exchange != _EXCHANGE and _EXCHANGE.startswith(exchange)))


def _odd(symbol: str, where: str, reason: str) -> tuple[str, str]:
    return symbol, f"{symbol or 'a row without a name'} in {where} ({reason})"


def _row(sent: dict[str, str]) -> dict[str, Any]:
    """A row of the dump; blank values are null.

    Raises:
        ValueError: a column has an invalid value, or the row is of another exchange or of two instruments.
    """
    row: dict[str, Any] = {}
    for field in KITE_INSTRUMENTS.provider_columns:
        text = sent.get(field.name, "")
        if field.name in KITE_INSTRUMENTS.keys and (not text or "\N{REPLACEMENT CHARACTER}" in text):
            raise ValueError(f"{field.name} is {repr(text[:40]) if text else 'blank'}")
        row[field.name] = _value(field, text) if text else None
    if row["exchange"] != _EXCHANGE:
        raise ValueError(f"exchange is {row['exchange']!r}")
    # Kite makes the token of the exchange's own, so a row of which one of them is wrong can be told.
    token, of_exchange = divmod(row["instrument_token"], 256), row["exchange_token"]
    if row["segment"] == _SHARES and of_exchange is not None and token != (_number(of_exchange), _SHARES_CODE):
        raise ValueError(f"instrument_token is {row['instrument_token']}, which is not of exchange_token {of_exchange}")
    return row


def _ambiguous(rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[tuple[int, tuple[str, str]]]:
    """The rows that contradict another one, by line: one symbol has two tokens, or one token has two symbols.

    By such rows, the candles of one share could be taken for those of another.
    """
    for name, other in (("tradingsymbol", "instrument_token"), ("instrument_token", "tradingsymbol")):
        found: dict[tuple[object, str], list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for number, row in rows:
            found[row[name], row["segment"]].append((number, row))
        for (value, _), alike in found.items():
            told = list(dict.fromkeys(str(row[other]) for _, row in alike))
            for number, row in alike if len(told) > 1 else ():
                reason = f"{name} {value} has more than one {other}: {listed(told)}"
                yield number, _odd(row["tradingsymbol"], f"line {number}", reason)


def _number(text: str) -> int | None:
    """A whole number of 64 bits, as in a column of tokens; None if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < len(str(2**63)) else None


def _value(field: "pa.Field[Any]", text: str) -> str | int | float:
    if field.type == pa.string():
        return text
    with suppress(ValueError):
        number = _number(text) if field.type == pa.int64() else float(text)
        if number is not None and math.isfinite(number):
            return number
    raise ValueError(f"{field.name} is {text[:40]!r}")
