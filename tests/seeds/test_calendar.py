"""The trading calendar against what the exchange did, and against itself."""

import csv
from collections import Counter
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest

from extract.seeds import EXCHANGE_ZONE, calendar_end, last_closed_session, trading_sessions
from extract.settings import PROJECT_DIR

OBSERVED = PROJECT_DIR.parent / "shared" / "data"

# Days on which the calendar and the observed record differ, and why. None: they agree on each of 5,738 days.
EXPLAINED: dict[date, str] = {}


def _seed(name: str) -> list[dict[str, str]]:
    with (PROJECT_DIR / "seeds" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _days(path: Path, column: str) -> set[date]:
    with path.open(newline="") as file:
        return {date.fromisoformat(row[column]) for row in csv.DictReader(file)}


HOLIDAYS = {date.fromisoformat(row["closed_on"]): row["reason"] for row in _seed("trading_holidays.csv")}
SPECIAL = {date.fromisoformat(row["trade_date"]): row for row in _seed("special_sessions.csv")}


def sessions(first: date, last: date) -> set[date]:
    """The sessions that the seeds mean: weekdays less holidays, plus special sessions."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return {day for day in days if day in SPECIAL or (day.weekday() < 5 and day not in HOLIDAYS)}


def test_each_holiday_is_a_weekday_and_no_session() -> None:
    assert [day for day in HOLIDAYS if day.weekday() >= 5 or day in SPECIAL] == []
    assert list(HOLIDAYS) == sorted(HOLIDAYS)
    assert all(HOLIDAYS.values())


def test_special_sessions_are_sorted_and_each_weekend_one_is_muhurat_or_special() -> None:
    assert list(SPECIAL) == sorted(SPECIAL)
    weekend = {day: row["kind"] for day, row in SPECIAL.items() if day.weekday() >= 5}
    assert set(weekend.values()) == {"muhurat", "special"}
    muhurat_years = [day.year for day, row in SPECIAL.items() if row["kind"] == "muhurat"]
    # Diwali comes once a year, and the exchange trades its hour each time.
    assert muhurat_years == list(range(2010, 2027))


def test_each_year_has_a_plausible_count_of_sessions() -> None:
    counts = Counter(day.year for day in sessions(date(2010, 1, 1), date(2026, 12, 31)))
    assert set(counts) == set(range(2010, 2027))
    assert all(242 <= count <= 252 for count in counts.values())


def test_the_seeds_reach_as_far_as_the_project_says_and_weekdays_beyond_are_assumed() -> None:
    end = calendar_end()
    assert end == date(max(HOLIDAYS).year, 12, 31)
    assert {s.trade_date for s in trading_sessions(date(2010, 1, 1), end)} == sessions(date(2010, 1, 1), end)
    beyond = [end + timedelta(days=n) for n in range(1, 60)]
    assumed = [s.trade_date for s in trading_sessions(beyond[0], beyond[-1])]
    assert assumed == [day for day in beyond if day.weekday() < 5]
    evening = datetime.combine(assumed[-1], time(18, 30), EXCHANGE_ZONE)
    assert last_closed_session(evening) == assumed[-1]
    assert last_closed_session(evening.replace(year=2040)).year == 2040


def test_the_calendar_is_right_on_every_observed_day() -> None:
    traded_path = OBSERVED / "trading_days_observed_eod2_2010_20250917.csv"
    if not traded_path.exists():
        pytest.skip("the observed record of the exchange's sessions is not here")
    traded = _days(traded_path, "date")
    closed = _days(OBSERVED / "weekday_closures_observed_eod2_2010_20250917.csv", "date")
    first, last = min(traded), max(traded)
    ours = sessions(first, last)
    differing = (ours ^ traded) | (closed & ours)
    assert differing == set(EXPLAINED)
    weekdays = {first + timedelta(days=n) for n in range((last - first).days + 1)}
    weekdays = {day for day in weekdays if day.weekday() < 5}
    assert weekdays - ours == closed


def test_the_closures_after_the_observed_record_are_those_that_the_broker_announced() -> None:
    path = OBSERVED / "nse_bse_holidays_kite_2015_onwards.csv"
    if not path.exists():
        pytest.skip("the broker's list of holidays is not here")
    announced = _days(path, "Date")
    assert {day for day in HOLIDAYS if min(announced) <= day <= max(announced)} == announced


def test_short_sessions_are_those_with_little_volume() -> None:
    path = OBSERVED / "trading_days_observed_eod2_2010_20250917.csv"
    if not path.exists():
        pytest.skip("the observed record of the exchange's sessions is not here")
    with path.open(newline="") as file:
        volume = {date.fromisoformat(row["date"]): float(row["vol_vs_med21"]) for row in csv.DictReader(file)}
    short = {day for day, row in SPECIAL.items() if row["is_short"] == "true" and day in volume}
    # Below 45 % of the month's median lie the short sessions and nothing else.
    assert {day for day, ratio in volume.items() if ratio < 0.45} == short
