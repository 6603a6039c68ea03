"""Evening after evening, a build merges what may have changed, and makes the marts of a full build."""

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.files.take import take_files
from extract.landing.raw import KITE_DAILY_BARS, NSE_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.landing.raw_table import RawTable
from extract.seeds import EXCHANGE_ZONE, trading_sessions
from extract.warehouse import build as dbt_build
from tests.conftest import Pipeline, write_bars
from tests.extract.conftest import assert_as_one_full_build

DAYS = [session.trade_date for session in trading_sessions(date(2024, 4, 15), date(2024, 7, 5))]
PRICES = {"TCS": 4000.0, "DLF": 800.0, "INFY": 1500.0, "ITC": 430.0}
# Shares of a company that is none of ours, so that a list has no gaps.
OTHER = "INVENTED"

BONUS_ON, DIVIDEND_ON, SPLIT_ON = date(2024, 6, 20), date(2024, 6, 19), date(2024, 7, 31)
BONUS = ("TCS", "Bonus 1:1", BONUS_ON)
DIVIDEND = ("DLF", "Interim Dividend - Rs 20 Per Share", DIVIDEND_ON)
# Of a month whose bars came long before the exchange took it back.
OLD_DIVIDEND = ("ITC", "Dividend - Rs 7 Per Share", date(2024, 5, 15))
SPLIT = ("INFY", "Face Value Split (Sub-Division) - From Rs 10/- Per Share To Rs 5/- Per Share", SPLIT_ON)

# What dbt is told to build.
NOTHING: list[str] = []
BARS = ["tag:bars"]
# The actions of these tests change factors, so that the past of their shares is measured again by the new ones.
JUDGED = ["tag:actions", "tag:windowed", dbt_build._MEASURED_BY_FACTORS]
# Where no bars were built before, what the actions are judged by is built first.
ACTIONS = ["tag:actions", "tag:evidence", *JUDGED[1:]]
BARS_AND_ACTIONS = ["tag:bars", *JUDGED]


@dataclass
class Evenings:
    """What the sources and the exchange send, written into an archive from which a warehouse is fed.

    Attributes:
        sent: the archive.
        arrived: the archive of the warehouse that is built evening after evening.
        selected: what the builds had dbt build since the last look.
    """

    sent: Pipeline
    arrived: Pipeline
    folder: Path
    selected: list[str] = field(default_factory=list)
    _lists: int = 0

    def build(self) -> list[str]:
        """Let everything arrive that was sent, build, and return what was selected."""
        for path in set(self.sent.archive.paths()) - set(self.arrived.archive.paths()):
            (self.arrived.archive_dir / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.sent.archive_dir / path, self.arrived.archive_dir / path)
        self.arrived.replay()
        self.selected.clear()
        self.arrived.build()
        return list(self.selected)

    def bars(self, table: RawTable, days: Sequence[date], moment: datetime, *symbols: str, factor: float = 1) -> None:
        """Send bars of some days; TCS as a source tells it that knows of the bonus from its day on."""
        rows: list[dict[str, Any]] = []
        for symbol in symbols or PRICES:
            for day in days:
                price = PRICES[symbol] * (1 + day.day % 7 / 1000) * factor
                price /= 2 if symbol == "TCS" and day >= BONUS_ON else 1
                prices = {"open": price, "high": price + 1, "low": price - 1, "close": price}
                rows.append({"symbol": symbol, "date": _at(day), **prices, "volume": 1000 + day.day})
        write_bars(self.sent.archive, table, f"{len(self.sent.archive.paths())}-of-{len(rows)}", moment, *rows)

    def evening(self, day: date) -> None:
        """Send the day's bars: Kite's, which are provisional, with the final ones of the session before."""
        before = DAYS[DAYS.index(day) - 1]
        self.bars(KITE_DAILY_BARS, [before, day], _at(day, 18.5))
        self.bars(YAHOO_DAILY_BARS, [day], _at(day, 18.5))

    def list(self, downloaded_on: date, *records: tuple[str, str, date]) -> None:
        """Send a file of the exchange."""
        others = [SPLIT_ON + timedelta(days=number) for number in range(-81, 10, 7)]
        self._lists += 1
        path = self.folder / f"CA-{self._lists}.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, NSE_CORPORATE_ACTIONS.provider_columns.names[:-1], restval="-")
            writer.writeheader()
            for symbol, subject, day in [*records, *((OTHER, "Dividend - Rs 2 Per Share", day) for day in others)]:
                record = {"symbol": symbol, "series": "EQ", "subject": subject, "exDate": f"{day:%d-%b-%Y}"}
                writer.writerow(record)
        (report,) = take_files(self.sent.archive, [path], downloaded_on, lambda *_: None, as_of=downloaded_on)
        assert not report.shortfalls, report


def _at(day: date, hours: float = 0) -> datetime:
    return datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE) + timedelta(hours=hours)


@pytest.fixture
def evenings(built_pipeline: Pipeline, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evenings:
    """Two months have come and were built, with a list of the exchange of a past action and three coming ones."""
    whole = replace(pipeline, archive_dir=tmp_path / "sent", runs_data_tests=False)
    stepwise = replace(built_pipeline, archive_dir=tmp_path / "arrived", runs_data_tests=False)
    made = Evenings(whole, stepwise, tmp_path)
    run: Callable[..., None] = dbt_build._run_dbt

    def noted(arguments: list[str], *others: Any) -> None:
        made.selected += [argument for argument in arguments if argument.startswith("tag:")]
        run(arguments, *others)

    monkeypatch.setattr(dbt_build, "_run_dbt", noted)
    past = [day for day in DAYS if day <= date(2024, 6, 4)]
    for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS):
        made.bars(table, past, _at(past[-1], 34))
    made.list(past[-1], BONUS, DIVIDEND, SPLIT, OLD_DIVIDEND)
    assert made.build() == ACTIONS
    return made


def test_a_build_judges_the_actions_again_on_the_evenings_that_change_them(evenings: Evenings) -> None:
    # Bars alone came, two weeks before the first of the announced days.
    evenings.evening(date(2024, 6, 5))
    assert evenings.build() == BARS
    assert_as_one_full_build(evenings.arrived, evenings.sent)
    assert evenings.build() == NOTHING
    # Nobody sends anything of an action, but the days of two come with the bars.
    for day in (day for day in DAYS if date(2024, 6, 5) < day <= date(2024, 6, 21)):
        evenings.evening(day)
    assert evenings.build() == BARS_AND_ACTIONS
    # Kite rewrites its past by the bonus.
    past = [day for day in DAYS if day < BONUS_ON]
    evenings.bars(KITE_DAILY_BARS, past, _at(date(2024, 6, 22), 12), "TCS", factor=0.5)
    assert evenings.build() == BARS_AND_ACTIONS
    # A file that was received before others, with another close of the day before the dividend.
    evenings.bars(YAHOO_DAILY_BARS, [date(2024, 6, 18)], _at(date(2024, 6, 18), 19), "DLF", factor=1.01)
    assert evenings.build() == BARS_AND_ACTIONS
    # The exchange no longer names the split, nor the dividend that parted the month of its ex-date.
    evenings.list(date(2024, 6, 24), BONUS, DIVIDEND)
    assert evenings.build() == ACTIONS
    evenings.evening(date(2024, 6, 24))
    assert evenings.build() == BARS
    assert_as_one_full_build(evenings.arrived, evenings.sent)
    statuses = evenings.arrived.query("select symbol, status from `{d}.fct_corporate_actions`")
    # What the exchange took back stays, and says so: the split of INFY and the dividend of ITC.
    assert sorted(statuses) == [
        ("DLF", "reported"),
        ("INFY", "withdrawn"),
        ("ITC", "withdrawn"),
        ("TCS", "confirmed"),
    ]
