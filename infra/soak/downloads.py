"""Damaged files of the exchange: cut, scrambled, doubled, in other charsets, with huge cells, in bad zips.

An import must take only rows that the file holds, or say why it takes none; and when the whole file is imported after a
damaged one, all its rows must land. A second, simpler reader in this module lists every row that the bytes may mean.
"""

import csv
import io
import json
import math
import random
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

from extract.files.daily_record import by_columns
from extract.files.days import read_day
from extract.files.kind import plain_heading
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport
from extract.files.records import Records
from extract.files.report import import_report, say_import
from extract.files.take import take_files
from extract.landing.archive import Archive
from extract.landing.raw import NSE_CORPORATE_ACTIONS, NSE_DAILY_BARS, NSE_INDEX_CONSTITUENTS
from extract.seeds import listed_instruments
from infra.local.daily_records import write_daily_records
from infra.local.market import draft_market

_TODAY = date(2024, 8, 1)
_DAY = date(2024, 7, 5)
csv.field_size_limit(2**20)

# Enough that one row of another day counts as an error in that row, and not as a second session.
_SHARES = 120

_CHARSETS = ("utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "cp1252")

# The headings of the compared values in each form of the record; the unit of the last one depends on the form.
_BARS = {
    "symbol": ("symbol", "tckrsymb"),
    "series": ("series", "sctysrs"),
    "date": ("timestamp", "traddt", "date1"),
    "isin": ("isin",),
    "exchange_token": ("fininstrmid",),
    "open": ("open", "opnpric", "openprice"),
    "high": ("high", "hghpric", "highprice"),
    "low": ("low", "lwpric", "lowprice"),
    "close": ("close", "clspric", "closeprice"),
    "last": ("last", "lastpric", "lastprice"),
    "prev_close": ("prevclose", "prvsclsgpric"),
    "volume": ("tottrdqty", "ttltradgvol", "ttltrdqnty"),
    "trades": ("totaltrades", "ttlnboftxsexctd", "nooftrades"),
    "delivered_volume": ("delivqty",),
    "turnover": ("tottrdval", "ttltrfval", "turnoverlacs"),
}
_ACTIONS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol",),
    "subject": ("subject",),
    "exDate": ("exdate",),
    "comp": ("comp",),
}
_MEMBERS: dict[str, tuple[str, ...]] = {
    "Symbol": ("symbol",),
    "ISIN_Code": ("isincode",),
    "Company_Name": ("companyname",),
}
_COMPARED: dict[str, dict[str, tuple[str, ...]]] = {
    NSE_DAILY_BARS.name: _BARS,
    NSE_CORPORATE_ACTIONS.name: _ACTIONS,
    NSE_INDEX_CONSTITUENTS.name: _MEMBERS,
}
_IN_CAPITALS = {"symbol", "Symbol", "series", "isin", "ISIN_Code"}

type _Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """An undamaged file.

    Attributes:
        name: its name.
        table: where its rows go.
        body: its bytes.
        rows: its rows, as in the archive.
    """

    name: str
    table: str
    body: bytes
    rows: frozenset[_Row]


@dataclass(frozen=True, slots=True)
class Changed:
    """A damaged file.

    Attributes:
        body: its bytes, before any zip.
        sent: its bytes on the disk, zipped or not.
        is_whole: it must be taken with all rows of the original.
        kept: rows of the original that must be taken, whatever happens to the others.
        is_cut: it ends early; the import must report that, unless it was cut at the end of a line.
    """

    body: bytes
    sent: bytes
    is_whole: bool = False
    kept: frozenset[_Row] = frozenset()
    is_cut: bool = False


def run(count: int, seed: int, broken: str | None, told: Counter[str], findings: list[str]) -> None:
    """Import ``count`` damaged files, each into its own archive and then the whole file; see ``exercises``."""
    drawn = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as place:
        originals = _originals(Path(place))
        with BROKEN[broken]() if broken else nullcontext():
            for number in range(count):
                original = originals[number % len(originals)]
                change = drawn.choice(_CHANGES)
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    outcome, wrong = _imported(original, change(original, drawn), Path(folder))
                name = change.__name__.strip("_")
                told[f"{original.table.removeprefix('nse_')} {outcome}"] += 1
                if wrong:
                    findings.append(f"{original.name}, {name}: {wrong}")


def _imported(original: Original, changed: Changed, folder: Path) -> tuple[str, str | None]:
    """The outcome for a damaged file, and what is wrong with it; None if nothing is."""
    archive = Archive(str(folder / "archive"))
    (folder / "1").mkdir()
    (folder / "2").mkdir()
    (folder / "1" / original.name).write_bytes(changed.sent)
    (folder / "2" / original.name).write_bytes(original.body)
    try:
        reports = _take(archive, folder / "1")
        taken = _rows(archive, original.table)
        _take(archive, folder / "2")
        in_the_end = set(_rows(archive, original.table))
    except Exception as error:
        return "uncaught", f"uncaught {type(error).__name__}: {str(error)[:200]}"
    outcome = next((o for o in (TAKEN, HERE, REFUSED) if any(report.outcome == o for report in reports)), "nothing")
    return outcome, _wrong(original, changed, reports, taken, in_the_end)


def _wrong(
    original: Original, changed: Changed, reports: list[FileReport], taken: list[_Row], in_the_end: set[_Row]
) -> str | None:
    held = _held(changed.body, original.table) if taken else set()
    if strange := next((row for row in taken if row not in held), None):
        return f"a row that the file does not hold: {strange}"
    if original.table == NSE_DAILY_BARS.name:
        if impossible := next(filter(_is_impossible, taken), None):
            return f"a row that cannot be: {impossible}"
        if len({row[:2] for row in taken}) < len(taken):
            return "two rows of one share and series"
    if changed.is_whole and not original.rows <= set(taken):
        return f"{len(original.rows - set(taken))} rows were not taken: {_said(reports)}"
    if lost := changed.kept - set(taken):
        return f"{len(lost)} rows were lost to another: {_said(reports)}"
    if changed.is_cut and not any(report.shortfalls for report in reports):
        return "it was cut, and nothing says so"
    if lost := original.rows - in_the_end:
        return f"{len(lost)} rows of the whole file were lost to what came before it"
    return None


def _said(reports: Sequence[FileReport]) -> str:
    return "; ".join(sentence for report in reports for sentence in (report.shortfalls or [report.outcome]))[:200]


def _take(archive: Archive, path: Path) -> list[FileReport]:
    reports = take_files(archive, [path], _TODAY, lambda *_: None)
    say_import(reports, lambda *_: None)
    json.dumps(import_report(reports), default=str)
    return reports


def _rows(archive: Archive, table: str) -> list[_Row]:
    batches = [archive.read(path).rows for path in archive.paths() if path.startswith(f"{table}/")]
    return [tuple(row[name] for name in _COMPARED[table]) for rows in batches for row in rows.to_pylist()]


def _is_impossible(row: _Row) -> bool:
    named = dict(zip(_BARS, row, strict=True))
    opened, high, low, close = (named[name] for name in ("open", "high", "low", "close"))
    numbers = [value for value in row if isinstance(value, int | float)]
    return not (
        None not in (opened, high, low, close)
        and min(opened, high, low, close) > 0
        and high >= low
        and all(math.isfinite(number) and number >= 0 for number in numbers)
        and named["volume"] is not None
        and named["date"] == _DAY
    )


def _held(body: bytes, table: str) -> set[_Row]:
    """Every row that these bytes may mean, in any charset, with rows of one line or of several."""
    held: set[_Row] = set()
    for charset in _CHARSETS:
        with suppress(UnicodeError):
            text = body.decode(charset).removeprefix("\ufeff")
            for names, cells in _records(text):
                held |= _compared(names, cells, table)
    return held


def _records(text: str) -> Iterator[tuple[list[str], list[str | None]]]:
    plain: dict[str, Any] = {"parse_float": str, "parse_int": str, "parse_constant": str}
    for part in (text, *text.splitlines()) if text.lstrip().startswith(("{", "[")) else ():
        with suppress(ValueError, RecursionError):
            for record in _objects(json.loads(part, **plain)):
                yield (
                    [plain_heading(name) for name in record],
                    [None if v is None else str(v) for v in record.values()],
                )
    names: list[str] = []
    # The whole text, as a quoted cell may span lines; each line by itself; and without quotes, which may be stray.
    lines = [csv.reader([each]) for line in _lines(text) for each in dict.fromkeys((line, line.replace('"', "")))]
    for rows in (csv.reader(io.StringIO(text, newline="")), *lines):
        for row in _readable(rows):
            is_head = any("symb" in cell.lower() for cell in row)
            headings = [plain_heading(cell) for cell in row] if is_head else []
            if {"symbol", "tckrsymb"} & set(headings):
                names = names or headings
            elif names:
                yield names, list(row)


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    with suppress(csv.Error):
        yield from rows


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    inner: list[Any] = list(value) if isinstance(value, list) else []
    if isinstance(value, dict):
        yield value
        inner = list(value.values())
    for each in inner:
        yield from _objects(each)


def _compared(names: list[str], cells: list[str | None], table: str) -> set[_Row]:
    """The row in the compared columns; empty if it does not have these numbers."""
    values: list[object] = []
    for column, headings in _COMPARED[table].items():
        place = next((names.index(heading) for heading in headings if heading in names), None)
        cell = cells[place] if place is not None and place < len(cells) else None if place is None else ""
        try:
            values.append(_value(column, cell, "turnoverlacs" in names))
        except (ValueError, OverflowError):
            return set()
    return {tuple(values)}


def _value(column: str, cell: str | None, is_in_lakhs: bool) -> object:
    if column in ("subject", "exDate", "comp", "Company_Name"):
        return cell
    text = (cell or "").strip()
    if column in _IN_CAPITALS and column != "isin":
        return text.upper()
    if column == "date":
        return read_day(text)
    if text.lower() in ("", "-", "--", "nan", "nat", "none", "null", "n/a", "#n/a"):
        return None
    if column == "isin":
        return text.upper()
    number = float(text)
    if column in ("volume", "trades", "delivered_volume", "exchange_token"):
        return int(number)
    return round(number * 100_000, 2) if column == "turnover" and is_in_lakhs else number


def _originals(place: Path) -> list[Original]:
    """One file of each kind: the three forms of the record, corporate actions as CSV and JSON, and an index list."""
    symbols = [instrument.symbol for instrument in listed_instruments()][:_SHARES]
    market = draft_market(first=date(2024, 6, 26), last=date(2024, 7, 8), symbols=symbols)
    bodies = {}
    for path in write_daily_records(market, place / "records", _DAY, _DAY):
        name = path.name.removesuffix(".zip")
        bodies[name] = path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as whole:
                bodies[name] = whole.read(name)
    actions = [
        {
            "symbol": symbol,
            "series": "EQ",
            "faceVal": str(number % 10 + 1),
            "subject": f"Interim Dividend - Rs {number}.50 Per Share",
            "exDate": f"{number % 28 + 1:02}-Jun-2024",
            "comp": f"Feignéd {number}, Sons",
        }
        for number, symbol in enumerate(symbols[:40])
    ]
    members = [
        {
            "Company Name": f"Invented {n}",
            "Industry": "Textiles",
            "Symbol": s,
            "Series": "EQ",
            "ISIN Code": f"INE{n:09}",
        }
        for n, s in enumerate(symbols[:50])
    ]
    bodies["CF-CA-equities-01-06-2024-to-30-06-2024.csv"] = _csv(actions)
    bodies["actions.json"] = json.dumps(actions, indent=1).encode()
    bodies["ind_nifty50list.csv"] = _csv(members)
    originals = []
    for number, (name, body) in enumerate(bodies.items()):
        archive = Archive(str(place / f"whole{number}"))
        (place / "alone" / str(number)).mkdir(parents=True)
        (place / "alone" / str(number) / name).write_bytes(body)
        (report,) = _take(archive, place / "alone" / str(number) / name)
        table = report.paths[0].partition("/")[0]
        originals.append(Original(name, table, body, frozenset(_rows(archive, table))))
    return originals


def _csv(records: Sequence[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def _plain(body: bytes, **promised: Any) -> Changed:
    return Changed(body, body, **promised)


def _cut(original: Original, drawn: random.Random) -> Changed:
    place = drawn.randrange(len(original.body))
    body = original.body[:place]
    # Only for the record does a line end at the end show that the file is whole.
    is_seen = original.table == NSE_DAILY_BARS.name and original.body[place - 1 : place + 1].find(b"\n") < 0
    return _plain(body, is_cut=is_seen)


def _byte(original: Original, drawn: random.Random) -> Changed:
    """Change one byte. If it is within a line of the record, only that line may be lost."""
    body, place, value = original.body, drawn.randrange(len(original.body)), drawn.randrange(256)
    changed = body[:place] + bytes([value]) + body[place + 1 :]
    lines = body.count(b"\n", 0, place)
    if (
        original.table != NSE_DAILY_BARS.name
        or not 0 < lines < body.count(b"\n") - 1
        or {value, body[place]} & set(b'\n\r,"')
        or not 32 <= value < 127
    ):
        return _plain(changed)
    touched = _held(b"\n".join([body.split(b"\n")[0], body.split(b"\n")[lines], b""]), original.table)
    # The line may now name another share of the file, which then occurs twice.
    shown = _held(b"\n".join([changed.split(b"\n")[0], changed.split(b"\n")[lines], b""]), original.table)
    twice = {row[:2] for row in shown}
    return _plain(changed, kept=frozenset(row for row in original.rows - touched if row[:2] not in twice))


def _some_bytes(original: Original, drawn: random.Random) -> Changed:
    body = bytearray(original.body)
    for _ in range(drawn.randrange(2, 40)):
        body[drawn.randrange(len(body))] = drawn.randrange(256)
    return _plain(bytes(body))


def _moved(original: Original, drawn: random.Random) -> Changed:
    first, second = sorted(drawn.sample(range(len(original.body)), 2))
    body = original.body
    return _plain(body[second:] + body[first:second] + body[:first])


def _columns(original: Original, drawn: random.Random) -> Changed:
    """Swap two columns, with their headings or without."""
    if original.name.endswith(".json"):
        return _plain(original.body, is_whole=True)
    rows = list(csv.reader(io.StringIO(original.body.decode(), newline="")))
    first, second = drawn.sample(range(len(rows[0])), 2)
    with_headings = drawn.random() < 0.5
    for row in rows if with_headings else rows[:1]:
        row[first], row[second] = row[second], row[first]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return _plain(text.getvalue().encode(), is_whole=with_headings)


def _doubled(original: Original, drawn: random.Random) -> Changed:
    """Repeat some lines, or all."""
    head, *lines = original.body.splitlines(keepends=True)
    if original.name.endswith(".json"):
        return _plain(original.body, is_whole=True)
    again = drawn.sample(lines, drawn.randrange(1, len(lines) + 1))
    return _plain(head + b"".join(lines + again), is_whole=True)


def _in_charset(original: Original, drawn: random.Random) -> Changed:
    return _plain(original.body.decode().encode(drawn.choice(_CHARSETS)), is_whole=True)


def _marked(original: Original, drawn: random.Random) -> Changed:
    mark = drawn.choice((b"\xff\xfe", b"\xfe\xff", b"\x00", b"<html>", b"\xef\xbb\xbf\xef\xbb\xbf", b"PK\x03\x04"))
    return _plain(mark + original.body)


def _huge(original: Original, drawn: random.Random) -> Changed:
    cells = original.body.split(b",")
    cells[drawn.randrange(len(cells))] = drawn.choice((b"9", b"x", b'"', b" ", b"0.")) * drawn.choice((500, 200_000))
    return _plain(b",".join(cells))


def _odd(original: Original, drawn: random.Random) -> Changed:
    """Change one cell."""
    cells = original.body.split(b",")
    odd = drawn.choice(
        (b"", b"-", b"inf", b"nan", b"-1", b"0", b"1e400", b"0x10", b"1_0", b"null", "१२".encode(), b'"')
    )
    cells[drawn.randrange(len(cells))] = odd
    return _plain(b",".join(cells))


def _within_a_zip(original: Original, drawn: random.Random) -> Changed:
    """A damaged file in a zip; the whole file in a damaged zip; a file within several zips; or a zip bomb."""
    choice = drawn.random()
    if choice < 0.01:
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as whole:
            whole.writestr(original.name, original.body + bytes(2**26))
        return Changed(original.body, bomb.getvalue())
    inner = drawn.choice((_byte, _cut, _doubled, _odd))(original, drawn) if choice < 0.6 else _plain(original.body)
    sent = _zip(original.name, inner.body)
    if choice < 0.6:
        return Changed(inner.body, sent, inner.is_whole, inner.kept, inner.is_cut)
    if choice < 0.9:
        return Changed(inner.body, _some_bytes(Original("", "", sent, frozenset()), drawn).body)
    depth = drawn.randrange(1, 5)
    for _ in range(depth):
        sent = _zip("within.zip", sent)
    return Changed(inner.body, sent, is_whole=depth < 3)


def _zip(name: str, body: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr(name, body)
    return made.getvalue()


_CHANGES: tuple[Callable[[Original, random.Random], Changed], ...] = (
    _cut,
    _byte,
    _byte,
    _byte,
    _some_bytes,
    _moved,
    _columns,
    _doubled,
    _in_charset,
    _marked,
    _huge,
    _odd,
    _odd,
    _within_a_zip,
    _within_a_zip,
)


@contextmanager
def _credulous() -> Iterator[None]:
    """Break the import: accept any values in the columns of a record."""
    with patch.object(by_columns, "_is_clean", lambda _: True):
        yield


@contextmanager
def _by_table() -> Iterator[None]:
    """Break the import: take no daily record."""

    def is_here(records: Records, _: str, report: FileReport) -> bool:
        if records._held.of(NSE_DAILY_BARS):
            report.outcome = HERE
        return report.outcome == HERE

    with patch.object(Records, "is_here", is_here):
        yield


# Broken variants of the import, which the exercise must detect.
BROKEN = {"credulous": _credulous, "by_table": _by_table}
