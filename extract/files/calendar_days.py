"""The exchange's list of a year's holidays, and files of special sessions in the columns of our own seed.

The list is the file that the button of https://www.nseindia.com/resources/exchange-communication-holidays downloads, or
the answer of the site's web service, which has a list for each segment: ours is the cash segment, CM. An incomplete
list would turn holidays into sessions, so a list is taken whole or not at all.
"""

import re
from collections.abc import Sequence
from datetime import date, time
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, computed_field

from extract.files.days import AmbiguousDay, read_day
from extract.files.kind import Download, Kind, Reading, Record, SaysNothing, is_blank, plain_heading
from extract.files.opened import FileRefused
from extract.files.text import UnreadRow
from extract.landing.raw import NSE_CALENDAR_DAYS
from extract.seeds import FIRST_DAY

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

# Month and day of the holidays of each year since 2010, unless they fall on a weekend.
_FIXED_HOLIDAYS = ((1, 26), (4, 14), (5, 1), (8, 15), (10, 2), (12, 25))

# A list has had between 10 (2010) and 18 (2014) weekdays. A list of clearing holidays has the bank holidays too.
_FEWEST, _MOST = 9, 20
_OF_BANKS = re.compile(r"bank.{0,20}clos|clos.{0,20}account|annual clos|settlement|clearing", re.IGNORECASE)

# The day of Diwali has an asterisk, for the hour of trading in the evening.
_MUHURAT = re.compile(r"muh?urat|(?:diwali|deepavali|laxmi|lakshmi)[^*]*\*", re.IGNORECASE)
_SPECIAL = re.compile(
    r"(?:special|live|full)(?: live)? (?:trading )?(?:session|day)|live trading|trading session"
    r"|\bdr\b.{0,10}(?:drill|site|session)|disaster recovery",
    re.IGNORECASE,
)
# "Mock trading session", "no trading session", "special session cancelled": the exchange is closed.
_NO_SESSION = re.compile(
    r"\b(?:mock|no|not|without|cancel\w*)(?: (?:an?|any|the|special|live|full|muh?urat))* (?:trading|session)"
    r"|(?:trading|session)s?(?: (?:is|was|has been|stands))? cancel",
    re.IGNORECASE,
)

_HEADINGS = {
    "tradingDate": ("tradingdate", "date", "holidaydate"),
    "weekDay": ("weekday", "day"),
    "description": ("description", "occasion", "holiday", "holidays"),
}


def _day(text: str | None, info: ValidationInfo) -> date:
    reading = info.context
    assert isinstance(reading, Reading)
    if text is None or is_blank(text) or plain_heading(text) in _HEADINGS["tradingDate"]:
        # Weekend holidays follow below, under headings of their own.
        raise SaysNothing("it has no day")
    try:
        return read_day(text, first=reading.first)
    except AmbiguousDay as error:
        raise ValueError(f"its day {text.strip()!r} {error}") from None
    except ValueError:
        raise ValueError(f"its day {text.strip()!r} is not a day; write it as 26-Jan-2027") from None


def _time(text: str | None) -> str | None:
    if text is None or is_blank(text):
        return None
    try:
        return time.fromisoformat(text.strip().zfill(5)).isoformat()
    except ValueError:
        raise ValueError(f"its time {text.strip()!r} is not a time; write it as 18:15:00") from None


def _flag(text: str | None) -> str:
    flag = (text or "").strip().lower()
    if flag not in ("true", "false"):
        raise ValueError(f"its is_short is {flag!r}; write true or false")
    return flag


def _session_kind(text: str | None) -> str:
    kind = (text or "").strip().lower()
    if kind not in ("regular", "muhurat", "special"):
        raise ValueError(f"its kind is {kind!r}; write regular, muhurat or special")
    return kind


class _Listed(Record):
    trade_date: Annotated[date, BeforeValidator(_day)] = Field(validation_alias="tradingDate")
    description: str
    weekday: str = Field(validation_alias="weekDay", exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kind(self) -> str:
        if _NO_SESSION.search(self.description):
            return "holiday"
        if _MUHURAT.search(self.description):
            return "muhurat"
        return "special" if _SPECIAL.search(self.description) else "holiday"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def list_year(self) -> int:
        return self.trade_date.year

    def model_post_init(self, _: Any) -> None:
        told = self.weekday.strip().lower()
        if len(told) < 3 or not _WEEKDAYS[self.trade_date.weekday()].startswith(told):
            raise ValueError(f"{self.trade_date} is a {_WEEKDAYS[self.trade_date.weekday()].title()}, not a {told!r}")


class _SpecialSession(Record):
    trade_date: Annotated[date, BeforeValidator(_day)] = Field(validation_alias="tradingDate")
    kind: Annotated[str, BeforeValidator(_session_kind)]
    opens_at_ist: Annotated[str | None, BeforeValidator(_time)] = None
    closes_at_ist: Annotated[str | None, BeforeValidator(_time)] = None
    is_short: Annotated[str, BeforeValidator(_flag)]


def _check_readable(refused: Sequence[UnreadRow]) -> None:
    if refused:
        raise FileRefused(f"is imported only if every record can be read, and one cannot: {refused[0]}; correct it")


def _check_list(rows: Sequence[dict[str, Any]], refused: Sequence[UnreadRow], download: Download) -> None:
    _check_readable(refused)
    years = sorted({row["trade_date"].year for row in rows})
    year = years[0]
    if len(years) > 1:
        raise FileRefused(f"has holidays of {years[0]} to {years[-1]}; import a list of one year")
    if year not in (download.as_of.year, download.as_of.year + 1):
        raise FileRefused(
            f"is a list of {year}, and not of {download.as_of.year} or the year after; to import it, give"
            f" --as-of with a day of {year}"
        )
    days = {row["trade_date"] for row in rows}
    weekdays = {day for day in days if day.weekday() < 5}
    banks = next((row["description"] for row in rows if _OF_BANKS.search(row["description"])), None)
    if banks or len(weekdays) > _MOST:
        why = repr(banks.strip()) if banks else f"{len(weekdays)} weekdays"
        raise FileRefused(f"has {why}: it is a list of clearing holidays; download the list of trading holidays")
    fixed = [date(year, month, day) for month, day in _FIXED_HOLIDAYS]
    if absent := [day for day in fixed if day.weekday() < 5 and day not in days]:
        raise FileRefused(
            f"lacks {absent[0]:%d-%b-%Y}, on which the exchange is closed each year: it is cut, or another exchange's;"
            " download it again"
        )
    if len(weekdays) < _FEWEST or max(days).month < 10:
        raise FileRefused(
            f"has {len(weekdays)} weekdays, the last in {max(days):%B}, and a year has ten or more, to the end of"
            " October and after: it is cut; download it again"
        )


def _check_sessions(rows: Sequence[dict[str, Any]], refused: Sequence[UnreadRow], download: Download) -> None:
    _check_readable(refused)
    for row in rows:
        day, kind = row["trade_date"], row["kind"]
        if not FIRST_DAY <= day <= date(download.as_of.year + 1, 12, 31):
            raise FileRefused(f"has a session on {day}, which lies too far from {download.as_of}, the day of the file")
        if kind == "special" and day.weekday() < 5:
            raise FileRefused(f"calls {day} special, which is for weekends; it is a {day:%A}: write regular or muhurat")
        if kind == "regular" and day.weekday() >= 5:
            raise FileRefused(f"calls {day} regular, which is a {day:%A}; write special or muhurat")


HOLIDAY_LISTS = Kind(
    name="trading holidays",
    table=NSE_CALENDAR_DAYS,
    headings=_HEADINGS,
    required=("tradingDate", "weekDay", "description"),
    days=("tradingDate",),
    record=_Listed,
    deciding=(),
    check=_check_list,
    is_replaced=True,
)

SPECIAL_SESSIONS = Kind(
    name="special sessions",
    table=NSE_CALENDAR_DAYS,
    headings={
        "tradingDate": ("tradedate",),
        "kind": ("kind",),
        "opens_at_ist": ("opensatist",),
        "closes_at_ist": ("closesatist",),
        "is_short": ("isshort",),
        "description": ("reason",),
    },
    required=("tradingDate", "kind", "closes_at_ist", "is_short"),
    days=("tradingDate",),
    record=_SpecialSession,
    flags=("is_short",),
    deciding=(),
    check=_check_sessions,
    is_replaced=True,
)
