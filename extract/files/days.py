"""Read a day as people and their programs write it."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Literal

from extract.seeds import EXCHANGE_ZONE

# The exchange opened in this year.
FIRST_YEAR = 1994

_CLOCK = re.compile(
    r"(?P<day>.*?[0-9])(?:T| +)(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)(?: ?[AaPp][Mm])?"
    r"(?P<zone> ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?"
)
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})([-/.])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})")
_DIGITS = re.compile(r"(?P<year>(?:19|20)[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})")
_NAMED_MONTH = re.compile(r"(?P<day>[0-9]{1,2})[-/. ]*(?P<month>[A-Za-z]{3,9})\.?[-/., ]*(?P<year>[0-9]{4}|[0-9]{2})")
_MONTH_AND_DAY = re.compile(r"(?P<month>[A-Za-z]{3,9})\.? *(?P<day>[0-9]{1,2}),? +(?P<year>[0-9]{4})")
_NUMBERS = re.compile(r"(?P<first>[0-9]{1,2})([-/.])(?P<second>[0-9]{1,2})\2(?P<third>[0-9]{4}|[0-9]{2})")
# The number that a spreadsheet stores for a day: 36526 is 2000-01-01.
_SERIAL = re.compile(r"[34][0-9]{4}(?:\.0+)?")
_SERIAL_START = date(1899, 12, 30)

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


_MONTH_WORD = "(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|" + "|".join(_MONTHS) + ")"
# A program may write the time after the day.
_TIME = r"(?:[-_T ]+[0-2][0-9][-_.:]?[0-5][0-9](?:[-_.:]?[0-5][0-9])?(?![-_.]?[0-9]))?(?![0-9])"
# The forms of a day in a file's name: 2024-07-05, 20240705 and 05072024, 05JUL2024 and 5 July 24, 2024Jul05,
# July 5 2024, 05-07-2024.
_IN_NAME = tuple(
    re.compile(f"{form}{_TIME}", re.IGNORECASE)
    for form in (
        r"(?<![0-9])(?P<year>[0-9]{4})([-_.])(?P<number>[0-9]{1,2})\2(?P<day>[0-9]{1,2})",
        r"(?<![0-9])(?P<digits>[0-9]{8})(?:[0-9]{6})?",
        rf"(?<![0-9])(?P<day>[0-9]{{1,2}})[-_. ]?(?P<month>{_MONTH_WORD})[-_., ]*(?P<year>[0-9]{{4}}|[0-9]{{2}})",
        rf"(?<![0-9])(?P<year>[0-9]{{4}})[-_. ]?(?P<month>{_MONTH_WORD})[-_. ]?(?P<day>[0-9]{{1,2}})",
        rf"(?<![a-z])(?P<month>{_MONTH_WORD})[-_. ]?(?P<day>[0-9]{{1,2}})[-_., ]+(?P<year>[0-9]{{4}})",
        r"(?<![0-9])(?P<numbers>[0-9]{1,2}([-_.])[0-9]{1,2}\2(?:[0-9]{4}|[0-9]{2}))",
    )
)
# What may tell a day in the rest of a name: 2024, 07-05-24, 070524, Mar19, 5Jul.
_LIKE_A_DAY = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}|[0-9]{1,2}([-_.])[0-9]{1,2}\1[0-9]{2}|[0-9]{6})(?![0-9])"
    rf"|(?<![a-z]){_MONTH_WORD}[-_. ]?[0-9]{{1,2}}(?![0-9])|(?<![0-9])[0-9]{{1,2}}[-_. ]?{_MONTH_WORD}(?![a-z])",
    re.IGNORECASE,
)


# What the first of three numbers is; a year, if it has two digits. In the order of preference.
type First = Literal["day", "month", "year"]
_FIRSTS: tuple[First, ...] = ("day", "month", "year")


class AmbiguousDay(ValueError):
    """A text may mean several days; the message is the end of a sentence about it."""

    def __init__(self, days: Iterable[date]) -> None:
        super().__init__(f"may be {' or '.join(map(str, sorted(days)))}; write the month as a word")


def find_first(texts: Iterable[tuple[str | None, tuple[date, date]]]) -> First | None:
    """What stands first in those days of a file that are three numbers; None if that cannot be known.

    Each text that is a possible day in only one order decides about the others, such as 6/28/2024. If no text does, the
    day stands first, as in India. It cannot be known if one text decides for another order than another text; nor if
    years of two digits may stand first and would be later ones, as in 24-07-05.

    Args:
        texts: each day as written, and the first and last day that it may be.
    """
    left: set[First] = {"day", "month", "year"}
    year_is_later = False
    for text, (earliest, latest) in texts:
        days = {first: day for first, day in day_readings(text or "").items() if earliest <= day <= latest}
        if days:
            left &= days.keys()
            year_is_later |= "year" in days and days["year"].year > min(day.year for day in days.values())
    if year_is_later and "year" in left and len(left) > 1:
        return None
    return next((first for first in _FIRSTS if first in left), None)


def day_readings(text: str) -> dict[First, date]:
    """The days that a text of three numbers may be, by what stands first in it; empty if it is of another form."""
    text = " ".join(text.split())
    clock = _CLOCK.fullmatch(text)
    named = _NUMBERS.fullmatch(clock["day"] if clock else text)
    if not named:
        return {}
    first, second, third = named["first"], named["second"], named["third"]
    orders: dict[First, tuple[str, str, str]] = {"day": (third, second, first), "month": (third, first, second)}
    if len(first) == len(third) == 2:
        orders["year"] = (first, second, third)
    readings: dict[First, date] = {}
    for order, (year, month, day) in orders.items():
        with suppress(ValueError):
            readings[order] = date(_year(year), int(month), int(day))
    return readings


def read_day(text: str, *, first: First | None = "day") -> date:
    """The day in a text such as ``03-Jun-2024``, ``3/6/24``, ``2024-06-03 00:00:00`` or ``20240603``.

    Args:
        text: a day, with or without a time. A time with a zone is converted to the exchange's date.
        first: what stands first in three numbers, by default the day, as in India; None if that is not known.

    Raises:
        AmbiguousDay: ``first`` is None, and the text may be several days.
        ValueError: it is not a day.
    """
    text = " ".join(text.split())
    if clock := _CLOCK.fullmatch(text):
        day = read_day(clock["day"], first=first)
        if not clock["zone"]:
            return day
        moment = f"{day}T{clock['time'].zfill(5)}{clock['zone'].strip()}"
        return datetime.fromisoformat(moment).astimezone(EXCHANGE_ZONE).date()
    for pattern in (_YEAR_FIRST, _DIGITS, _NAMED_MONTH, _MONTH_AND_DAY):
        if named := pattern.fullmatch(text):
            return date(_year(named["year"]), _month(named["month"]), int(named["day"]))
    readings = day_readings(text)
    days = {day for order, day in readings.items() if first in (order, None)}
    if len(days) > 1:
        raise AmbiguousDay(days)
    if days:
        return days.pop()
    if _SERIAL.fullmatch(text):
        return _SERIAL_START + timedelta(days=int(float(text)))
    raise ValueError("no day")


def days_in_name(basename: str) -> set[date]:
    """The days from 1994 to 2099 in a file's name, in the forms that the exchange and people use."""
    return _days_and_rest(basename)[0]


def unclear_days_in_name(basename: str) -> list[str]:
    """The parts of a name that may tell a day, and do not tell it for certain, such as ``07-05-24`` and ``2019``."""
    return [match[0] for match in _LIKE_A_DAY.finditer(_days_and_rest(basename)[1])]


def _days_and_rest(basename: str) -> tuple[set[date], str]:
    days: set[date] = set()

    def taken(match: re.Match[str]) -> str:
        try:
            day = _named_day(match.groupdict())
        except ValueError:
            return match[0]
        if not FIRST_YEAR <= day.year < 2100:
            return match[0]
        days.add(day)
        return "/"

    for form in _IN_NAME:
        basename = form.sub(taken, basename)
    return days, basename


def _named_day(part: dict[str, str | None]) -> date:
    """The day of a match of one of the forms of a day in a name."""
    if part.get("year") and part.get("day"):
        return date(_year(str(part["year"])), _month(str(part.get("month") or part["number"])), int(str(part["day"])))
    text = str(part.get("numbers") or part["digits"]).replace("_", "-")
    if text.isdigit():
        # The exchange writes 05072024 as well as 20240705; in these years, no eight digits can be read as both.
        with suppress(ValueError):
            return read_day(text)
        text = f"{text[:2]}-{text[2:4]}-{text[4:]}"
    readings = day_readings(text)
    if "year" not in readings and len(text) > 8:
        # Prefer the exchange's order: the day first.
        return readings.get("day") or read_day(text, first="month")
    return read_day(text, first=None)


def _year(text: str) -> int:
    year = int(text)
    if len(text) > 2:
        return year
    # A year of two digits: the exchange was founded in 1992.
    return 2000 + year if year < 90 else 1900 + year


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    found = [number for number, name in enumerate(_MONTHS, 1) if name.startswith(text.lower())]
    # "Sept" is a British abbreviation; "Ju" is ambiguous, and too short for the patterns.
    if len(found) != 1:
        raise ValueError("no month")
    return found[0]
