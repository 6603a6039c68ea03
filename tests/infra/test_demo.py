"""The demo deletes nothing of a user's; and what the exchange's files in it have to show."""

import re
from datetime import date
from pathlib import Path

import pytest

from infra.local import demo
from infra.local.daily_records import DELISTED


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "archive" / "batch.parquet"
    kept.parent.mkdir()
    kept.write_bytes(b"PAR1")
    assert demo.demo(tmp_path) == 2
    assert demo.demo(kept) == 2
    assert "name another folder" in capsys.readouterr().out
    assert kept.read_bytes() == b"PAR1"


def test_in_the_exchanges_files_a_share_leaves_and_another_is_renamed(tmp_path: Path) -> None:
    demo._write_files(tmp_path / "exchange")
    symbols = {}
    for path in (tmp_path / "exchange").glob("sec_bhavdata_full_*.csv"):
        day, month, year = re.findall(r"(\d\d)(\d\d)(\d{4})$", path.stem)[0]
        symbols[date(int(year), int(month), int(day))] = {
            line.partition(",")[0] for line in path.read_text().splitlines()[1:]
        }
    days = sorted(symbols)
    is_earlier = [{DELISTED, "ADANITRANS"} <= symbols[day] for day in days]
    is_later = ["ADANIENSOL" in symbols[day] and DELISTED not in symbols[day] for day in days]
    # Both happen on one day, around which there are files.
    last = is_earlier.index(False)
    assert is_earlier == [True] * last + [False] * (len(days) - last)
    assert is_later == [not earlier for earlier in is_earlier]
    assert (days[last] - days[last - 1]).days <= 5
    lists = sorted((tmp_path / "exchange").glob("ind_*.csv"))
    assert [bool(re.search(f",{DELISTED},", path.read_text())) for path in lists] == [True, False]
