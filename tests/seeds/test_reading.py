"""Seeds that a spreadsheet has saved: read, or refused with the file, the line and the column."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from extract import seed_rows, seeds
from extract.errors import ConfigurationError
from extract.settings import PROJECT_DIR


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[str], bytes]], None]:
    """Give the extractor a copy of the seeds, one of them edited."""
    shutil.copytree(PROJECT_DIR / "seeds", tmp_path / "seeds")
    monkeypatch.setattr(seed_rows, "PROJECT_DIR", tmp_path)

    def edit(name: str, change: Callable[[str], bytes]) -> None:
        path = tmp_path / "seeds" / f"{name}.csv"
        path.write_bytes(change(path.read_text()))

    return edit


type _Edit = Callable[[str, Callable[[str], bytes]], None]


def test_a_byte_order_mark_and_the_line_ends_of_windows_change_nothing(edited: _Edit) -> None:
    instruments, sessions = seeds.listed_instruments(), seeds.trading_sessions(date(2024, 1, 1), date(2024, 12, 31))
    order = seeds.source_order()
    for name in ("instruments", "trading_holidays", "special_sessions", "source_precedence"):
        edited(name, lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert seeds.listed_instruments() == instruments
    assert seeds.trading_sessions(date(2024, 1, 1), date(2024, 12, 31)) == sessions
    assert seeds.source_order() == order


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("instruments", lambda text: text.replace(",", ";").encode(), "instruments.csv has no column instrument_id"),
        ("instruments", lambda text: text.encode("utf-16"), "instruments.csv is not in UTF-8"),
        (
            "instruments",
            lambda text: text.replace("2019-09-19", "19-09-2019").encode(),
            r"instruments.csv, line 2: listed_on is '19-09-2019'; write it as 2024-12-31",
        ),
        ("instruments", lambda text: text.replace("\n1,", "\n1.0,").encode(), "line 2: instrument_id is '1.0'"),
        ("special_sessions", lambda text: text.replace("19:15:00", "7:15 PM").encode(), "closes_at_ist is '7:15 PM'"),
        ("trading_holidays", lambda text: text.replace("closed_on", "date").encode(), "has no column closed_on"),
    ],
)
def test_what_a_spreadsheet_has_changed_is_named(
    edited: _Edit, name: str, change: Callable[[str], bytes], told: str
) -> None:
    def read() -> None:
        seeds.listed_instruments()
        seeds.trading_sessions(date(2010, 1, 1), date(2026, 12, 31))

    edited(name, change)
    with pytest.raises(ConfigurationError, match=told):
        read()
