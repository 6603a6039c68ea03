"""Damaged files of the exchange: cut, scrambled, doubled, in other charsets, with huge cells, in bad zips.

An import must take only rows that the file holds, or say why it takes none; and when the whole file is imported after a
damaged one, all its rows must land. A second, simpler reader, ``download_rows``, lists every row that the bytes may
mean.
"""

import csv
import io
import json
import random
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path
from unittest.mock import patch

from extract.files.daily_record import by_columns
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport
from extract.files.records import Records
from extract.files.report import import_report, say_import
from extract.files.take import take_files
from extract.landing.archive import Archive
from extract.landing.raw import NSE_DAILY_BARS
from extract.seeds import listed_instruments
from infra.local.daily_records import write_daily_records
from infra.local.market import draft_market
from infra.soak.damage import CHANGES, Changed, Original
from infra.soak.download_rows import COMPARED, DAY, Row, held_rows, is_impossible

_TODAY = date(2024, 8, 1)

# Enough that one row of another day counts as an error in that row, and not as a second session.
_SHARES = 120


def run(count: int, seed: int, broken: str | None, told: Counter[str], findings: list[str]) -> None:
    """Import ``count`` damaged files, each into its own archive and then the whole file; see ``exercises``."""
    drawn = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as place:
        originals = _originals(Path(place))
        with BROKEN[broken]() if broken else nullcontext():
            for number in range(count):
                original = originals[number % len(originals)]
                change = drawn.choice(CHANGES)
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
    original: Original, changed: Changed, reports: list[FileReport], taken: list[Row], in_the_end: set[Row]
) -> str | None:
    held = held_rows(changed.body, original.table) if taken else set()
    if strange := next((row for row in taken if row not in held), None):
        return f"a row that the file does not hold: {strange}"
    if original.table == NSE_DAILY_BARS.name:
        if impossible := next(filter(is_impossible, taken), None):
            return f"a row that cannot be: {impossible}"
        if len({row[:2] for row in taken}) < len(taken):
            return "two rows of one share and series"
    if changed.is_whole and not original.rows <= set(taken):
        return f"{len(original.rows - set(taken))} rows were not taken: {_said(reports)}"
    if lost := changed.kept - set(taken):
        return f"{len(lost)} undamaged rows were not taken: {_said(reports)}"
    if changed.is_cut and not any(report.shortfalls for report in reports):
        return "it was cut, and nothing says so"
    if lost := original.rows - in_the_end:
        return f"{len(lost)} rows of the undamaged file were not taken after the damaged one"
    return None


def _said(reports: Sequence[FileReport]) -> str:
    return "; ".join(sentence for report in reports for sentence in (report.shortfalls or [report.outcome]))[:200]


def _take(archive: Archive, path: Path) -> list[FileReport]:
    reports = take_files(archive, [path], _TODAY, lambda *_: None)
    say_import(reports, lambda *_: None)
    json.dumps(import_report(reports), default=str)
    return reports


def _rows(archive: Archive, table: str) -> list[Row]:
    batches = [archive.read(path).rows for path in archive.paths() if path.startswith(f"{table}/")]
    return [tuple(row[name] for name in COMPARED[table]) for rows in batches for row in rows.to_pylist()]


def _originals(place: Path) -> list[Original]:
    """One file of each kind: the three forms of the record, corporate actions as CSV and JSON, and an index list."""
    symbols = [instrument.symbol for instrument in listed_instruments()][:_SHARES]
    market = draft_market(first=date(2024, 6, 26), last=date(2024, 7, 8), symbols=symbols)
    bodies = {}
    for path in write_daily_records(market, place / "records", DAY, DAY):
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
