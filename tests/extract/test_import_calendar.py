"""The exchange's list of a year's holidays enters whole, in either form, or is refused in a sentence."""

import json
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport
from extract.files.take import take_files
from extract.landing.announced import read_announcements
from extract.landing.archive import Archive
from extract.seeds import Announcements, HolidayList, calendar_ends_on, last_closed_session, trading_sessions
from tests.extract.holiday_lists import HOLIDAYS, csv_list, json_list

TODAY = date(2026, 12, 16)
DIWALI = date(2027, 10, 29)
CLOSED = frozenset(HOLIDAYS) - {DIWALI}
SESSIONS = "trade_date,kind,opens_at_ist,closes_at_ist,is_short,reason\n"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(str(tmp_path / "archive"))


def _take(archive: Archive, folder: Path, name: str, body: str, today: date = TODAY) -> FileReport:
    (folder / name).write_text(body, newline="")
    (report,) = take_files(archive, [folder / name], today, lambda *_: None)
    return report


def _days(first: date, last: date, announced: Announcements) -> list[date]:
    return [session.trade_date for session in trading_sessions(first, last, announced)]


def test_each_form_of_a_list_makes_its_year_known(tmp_path: Path) -> None:
    kept_by_hand = "Date,Day,Holiday\n" + "".join(f"{day:%d/%m/%Y},{day:%a},{name}\n" for day, name in HOLIDAYS.items())
    weekends = {day: name for day, name in HOLIDAYS.items() if day.weekday() >= 5}
    copied_of_page = (
        csv_list({day: name for day, name in HOLIDAYS.items() if day not in weekends})
        + "Muhurat Trading shall be held on October 29,2027 (Diwali).\r\n"
        + "The holidays falling on Saturday / Sunday are as follows:\r\n"
        + csv_list(weekends)
    )
    for name, body in (
        ("a.json", json.dumps(json_list(HOLIDAYS))),
        ("b.csv", csv_list(HOLIDAYS)),
        ("page.csv", copied_of_page),
        ("c.csv", kept_by_hand),
    ):
        own = Archive(str(tmp_path / name.replace(".", "-")))
        report = _take(own, tmp_path, name, body)
        assert (report.outcome, report.kind, report.row_count) == (TAKEN, "trading holidays", len(HOLIDAYS))
        announced = read_announcements(own)
        assert announced == Announcements({2027: HolidayList(TODAY, CLOSED)}, {DIWALI: (time(19, 30), True)})
        assert calendar_ends_on(announced) == date(2027, 12, 31)
        days = _days(date(2027, 1, 1), date(2027, 12, 31), announced)
        assert set(HOLIDAYS) & set(days) == {DIWALI}
        assert 242 <= len(days) <= 252
    assert _take(own, tmp_path, "again.csv", kept_by_hand).outcome == HERE


@pytest.mark.parametrize("is_first_moved", [False, True])
def test_a_later_list_takes_the_place_of_the_earlier_one(
    archive: Archive, tmp_path: Path, *, is_first_moved: bool
) -> None:
    # On one day the exchange adds a day for elections, and moves Holi; or takes both back.
    moved = {day: name for day, name in HOLIDAYS.items() if name != "Holi"}
    moved |= {date(2027, 3, 23): "Holi", date(2027, 5, 20): "Elections"}
    first, second = (moved, HOLIDAYS) if is_first_moved else (HOLIDAYS, moved)
    assert _take(archive, tmp_path, "first.csv", csv_list(first)).outcome == TAKEN
    assert _take(archive, tmp_path, "second.csv", csv_list(second)).outcome == TAKEN
    announced = read_announcements(archive)
    assert announced.holiday_lists[2027].closed_on == frozenset(second) - {DIWALI}
    assert (date(2027, 3, 22) in _days(date(2027, 3, 1), date(2027, 3, 31), announced)) is not is_first_moved
    # An interrupted import of it is repeated, and changes nothing.
    for path in list(archive.listed(prefix="nse_files/")):
        assert archive.folder
        (archive.folder / path).unlink()
    assert _take(archive, tmp_path, "second.csv", csv_list(second)).outcome == HERE
    assert read_announcements(archive) == announced


def test_special_sessions_come_of_the_list_or_of_a_file_of_their_own(archive: Archive, tmp_path: Path) -> None:
    told = HOLIDAYS | {
        date(2027, 1, 31): "Special live trading session (Union Budget)",
        date(2027, 2, 27): "DR drill: trading session from the recovery site",
        date(2027, 2, 6): "Mock trading session",
        date(2027, 3, 22): "Holi - no live trading session",
        date(2027, 2, 13): "Special trading session cancelled",
        date(2027, 3, 13): "Special trading session (timings not yet announced)",
    }
    assert _take(archive, tmp_path, "list.csv", csv_list(told)).outcome == TAKEN
    hours = "2027-10-29,muhurat,18:15:00,19:15:00,true,Diwali\n2027-03-06,special,09:15,15:30,FALSE,Saturday\n"
    report = _take(archive, tmp_path, "hours.csv", SESSIONS + hours)
    assert (report.outcome, report.kind) == (TAKEN, "special sessions")
    as_json = dict(
        zip(SESSIONS.strip().split(","), ["2027-03-20", "special", "09:15", "15:30", False, "Saturday"], strict=True)
    )
    assert _take(archive, tmp_path, "more.json", json.dumps([as_json])).outcome == TAKEN
    announced = read_announcements(archive)
    assert announced.special_sessions == {
        date(2027, 1, 31): (time(19, 30), True),
        date(2027, 2, 27): (time(19, 30), True),
        date(2027, 3, 6): (time(15, 30), False),
        date(2027, 3, 13): (time(19, 30), True),
        date(2027, 3, 20): (time(15, 30), False),
        DIWALI: (time(19, 15), True),
    }
    assert set(announced.special_sessions) <= set(_days(date(2027, 1, 1), date(2027, 12, 31), announced))


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("other-segment.json", json.dumps({"FO": json_list(HOLIDAYS)["CM"]}), "none of the cash segment (CM)"),
        ("empty.json", json.dumps({"CM": [], "FO": json_list(HOLIDAYS)["CM"]}), "none of the cash segment (CM)"),
        ("nothing.json", '{"CM": []}', "is JSON without records"),
        ("headings.csv", csv_list({}).partition("\r\n")[0] + "\r\n", "is empty but for its headings"),
        ("torn.json", json.dumps(json_list(HOLIDAYS))[:900], "damaged JSON"),
        ("cut.csv", csv_list(dict(list(HOLIDAYS.items())[:4])), "lacks 14-Apr-2027"),
        ("half.csv", csv_list(dict(list(HOLIDAYS.items())[:9])), "is cut; download it again"),
        ("last-year.csv", csv_list({date(2025, 1, 26): "Republic Day"}), "is a list of 2025, and not of 2026"),
        ("two-years.csv", csv_list(HOLIDAYS | {date(2028, 1, 26): "Republic Day"}), "import a list of one year"),
        (
            "clearing.csv",
            csv_list(HOLIDAYS | {date(2027, 4, 1): "Annual Bank closing"}),
            "is a list of clearing holidays",
        ),
        (
            "other-exchange.csv",
            csv_list({date(2027, month, 4 + month % 3): "Closed" for month in range(1, 13)}),
            "another exchange's",
        ),
        ("weekday.csv", csv_list(HOLIDAYS).replace("Monday", "Friday", 1), "2027-03-22 is a Monday, not a 'friday'"),
        ("day.csv", csv_list(HOLIDAYS).replace("22-Mar-2027", "32-Mar-2027"), "'32-Mar-2027' is not a day"),
        ("kind.csv", SESSIONS + "2027-10-29,evening,,,true,Diwali\n", "its kind is 'evening'; write regular"),
        ("time.csv", SESSIONS + "2027-10-29,muhurat,6 PM,,true,Diwali\n", "its time '6 PM' is not a time"),
        ("special.csv", SESSIONS + "2027-10-29,special,,,true,Diwali\n", "it is a Friday: write regular or muhurat"),
        ("far.csv", SESSIONS + "2037-10-24,special,,,true,Diwali\n", "lies too far from 2026-12-16"),
    ],
)
def test_what_is_no_whole_list_is_refused(archive: Archive, tmp_path: Path, name: str, body: str, told: str) -> None:
    report = _take(archive, tmp_path, name, body)
    assert report.outcome == REFUSED
    assert told in str(report.reason), report.reason
    assert archive.paths() == []


def test_a_list_of_a_year_of_the_seeds_adds_closures_and_reopens_days_to_come() -> None:
    announced = Announcements(
        {2026: HolidayList(date(2026, 3, 10), frozenset({date(2026, 1, 20), date(2026, 11, 20)}))}
    )
    days = _days(date(2026, 1, 1), date(2026, 12, 31), announced)
    assert not {date(2026, 1, 20), date(2026, 11, 20)} & set(days)
    # Of the seeds alone: one before the day of the list, and one after it.
    assert (date(2026, 3, 3) in days, date(2026, 3, 26) in days) == (False, True)


def test_what_is_due_is_what_was_announced() -> None:
    announced = Announcements({2027: HolidayList(TODAY, CLOSED)}, {date(2027, 1, 10): (time(15, 30), False)})
    evening = {day: date(2027, 1, day) for day in (5, 6, 10)}
    moments = {
        day: trading_sessions(date(2027, 1, 4), date(2027, 1, 4))[0].closes_at + timedelta(days=day - 4, hours=3)
        for day in evening
    }
    due = {day: last_closed_session(now, announced) for day, now in moments.items()}
    assert due == {5: evening[5], 6: evening[5], 10: evening[10]}
    assert last_closed_session(moments[6], replace(announced, holiday_lists={})) == evening[6]
