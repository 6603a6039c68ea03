"""Read a day as people and their programs write it."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime, timedelta

from extract.seeds import EXCHANGE_ZONE

_CLOCK = re.compile(
    r"(?P<day>.*?[0-9])(?:T| +)(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)(?: ?[AaPp][Mm])?"
    r"(?P<zone> ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?"
)
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})([-/.])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})")
_DIGITS = re.compile(r"(?P<year>(?:19|20)[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})")
_NAMED_MONTH = re.compile(r"(?P<day>[0-9]{1,2})[-/. ]*(?P<month>[A-Za-z]{3,9})\.?[-/., ]*(?P<year>[0-9]{4}|[0-9]{2})")
_MONTH_AND_DAY = re.compile(r"(?P<month>[A-Za-z]{3,9})\.? *(?P<day>[0-9]{1,2}),? +(?P<year>[0-9]{4})")
_NUMBERS = re.compile(r"(?P<first>[0-9]{1,2})([-/.])(?P<second>[0-9]{1,2})\2(?P<year>[0-9]{4}|[0-9]{2})")
# The number that a spreadsheet stores for a day: 36526 is 2000-01-01.
_SERIAL = re.compile(r"[34][0-9]{4}(?:\.0+)?")
_SERIAL_START = date(1899, 12, 30)

# The forms of a day in a file's name: 2024-07-05, 20240705, 05072024, 05JUL2024, 05-07-2024.
_IN_NAME = (
    re.compile(r"(?<!\d)[0-9]{4}([-_.])[0-9]{1,2}\1[0-9]{1,2}(?!\d)"),
    re.compile(r"(?<!\d)[0-9]{8}(?!\d)"),
    re.compile(r"(?<!\d)[0-9]{1,2}[-_. ]?[A-Za-z]{3,9}[-_. ]?[0-9]{4}(?!\d)"),
    re.compile(r"(?<!\d)[0-9]{1,2}([-_.])[0-9]{1,2}\1[0-9]{4}(?!\d)"),
)

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


def is_month_first(texts: Iterable[str | None]) -> bool:
    """Whether these have the month first, as in the USA: one is like 6/28/2024, and none is like 28/6/2024."""
    firsts, seconds = [0], [0]
    for text in texts:
        if named := _NUMBERS.match((text or "").strip()):
            firsts.append(int(named["first"]))
            seconds.append(int(named["second"]))
    return max(seconds) > 12 >= max(firsts)


def read_day(text: str, *, month_first: bool = False) -> date:
    """The day in a text such as ``03-Jun-2024``, ``3/6/24``, ``2024-06-03 00:00:00`` or ``20240603``.

    Args:
        text: a day, with or without a time. A time with a zone is converted to the exchange's date.
        month_first: read three numbers with the year last as month, day, year; if False, day first, as in India.

    Raises:
        ValueError: it is not a day.
    """
    text = " ".join(text.split())
    if clock := _CLOCK.fullmatch(text):
        day = read_day(clock["day"], month_first=month_first)
        if not clock["zone"]:
            return day
        moment = f"{day}T{clock['time'].zfill(5)}{clock['zone'].strip()}"
        return datetime.fromisoformat(moment).astimezone(EXCHANGE_ZONE).date()
    for pattern in (_YEAR_FIRST, _DIGITS, _NAMED_MONTH, _MONTH_AND_DAY):
        if named := pattern.fullmatch(text):
            return date(_year(named["year"]), _month(named["month"]), int(named["day"]))
    if named := _NUMBERS.fullmatch(text):
        day_of_month, month = int(named["first"]), int(named["second"])
        if month_first:
            day_of_month, month = month, day_of_month
        return date(_year(named["year"]), month, day_of_month)
    if _SERIAL.fullmatch(text):
        return _SERIAL_START + timedelta(days=int(float(text)))
    raise ValueError("no day")


def days_in_name(basename: str) -> set[date]:
    """The days from 1994 to 2099 in a file's name, in the forms that the exchange and people use."""
    found = set()
    for pattern in _IN_NAME:
        for match in pattern.finditer(basename):
            text = match[0].replace("_", "-")
            # The exchange writes 05072024 as well as 20240705; in these years, no eight digits can be read as both.
            for spelling in (text, f"{text[:2]}-{text[2:4]}-{text[4:]}") if text.isdigit() else (text,):
                with suppress(ValueError):
                    found.add(read_day(spelling))
    return {day for day in found if 1994 <= day.year < 2100}


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
