"""The days in a request: written as 2024-12-31, and within the exchange's calendar."""

import re
from datetime import date, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from extract.api.parameters import not_valid
from extract.seeds import FIRST_DAY


def _as_written(given: object) -> object:
    # pydantic would also accept a number, as seconds since 1970.
    if isinstance(given, date) or (isinstance(given, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", given)):
        return given
    raise ValueError("Input should be a valid date, written as 2024-12-31")


Day = Annotated[date, BeforeValidator(_as_written)]


def asked_days(first: date | None, last: date | None, today: date, default_days: int) -> tuple[date, date]:
    """The first and last day that a caller asks for.

    Args:
        first: as asked for; None for ``default_days`` before the last.
        last: as asked for; None for today. A day after today is taken as today.
        today: the exchange's date.
        default_days: the length of the default range.

    Raises:
        RequestValidationError: a day is before the calendar, or the first is after the last.
    """
    last = min(last or today, today)
    if last < FIRST_DAY:
        raise not_valid("to", f"is before {FIRST_DAY}, where the calendar begins", last)
    first = first or max(FIRST_DAY, last - timedelta(days=default_days))
    if first < FIRST_DAY:
        raise not_valid("from", f"is before {FIRST_DAY}, where the calendar begins", first)
    if first > last:
        raise not_valid("from", f"is after {last}, the last day asked for", first)
    return first, last
