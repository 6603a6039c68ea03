"""The exchange's records of corporate actions: the file that its site's button downloads, or its web service's answer.

The columns of the table are those of the web service, https://www.nseindia.com/api/corporates-corporateActions; the
button's file has other names for them, and no ISIN.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from extract.files.kind import Download, ExDateField, IsinField, Kind, Record, SaysNothing, SymbolField, is_blank
from extract.landing.raw import NSE_CORPORATE_ACTIONS

# The name that the site gives the file: CF-CA-equities-01-06-2024-to-30-06-2024.csv.
_PERIOD = re.compile(r"CF-CA-.*?(\d{2})-(\d{2})-(\d{4})-to-(\d{2})-(\d{2})-(\d{4})(?!\d)", re.IGNORECASE)

# This many of the ex-dates outside of that period are named.
_SHOWN = 3

# What a spreadsheet shows in place of a value, such as #REF! and #NAME?.
_SPREADSHEET_ERROR = re.compile(r"#[A-Z]+(?:/0)?[!?]|#+")


def _subject(text: str | None) -> str:
    if text is None or is_blank(text):
        raise SaysNothing("it does not say what happens")
    if _SPREADSHEET_ERROR.fullmatch(text.strip()):
        raise ValueError(f"its subject {text.strip()!r} is an error of a spreadsheet")
    return text


class _Action(Record):
    symbol: SymbolField
    isin: IsinField = None
    subject: Annotated[str, BeforeValidator(_subject)]
    ex_date: ExDateField = Field(validation_alias="exDate")


def _covers(basename: str) -> tuple[date | None, date | None]:
    named = _PERIOD.search(basename)
    if not named:
        return None, None
    try:
        first, last = (date(int(y), int(m), int(d)) for d, m, y in (named.groups()[:3], named.groups()[3:]))
    except ValueError:
        return None, None
    return (first, last) if first <= last else (None, None)


def _remarks(rows: Sequence[dict[str, Any]], download: Download) -> list[str]:
    """The ex-dates that lie outside of the period in the file's name."""
    first, last = _covers(download.basename)
    if first is None or last is None:
        return []
    outside = [f"{row['symbol']} {row['ex_date']}" for row in rows if not first <= row["ex_date"] <= last]
    if not outside:
        return []
    more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
    return [f"has ex-dates outside of {first} to {last}, the period in its name: {', '.join(outside[:_SHOWN])}{more}"]


CORPORATE_ACTIONS = Kind(
    name="corporate actions",
    table=NSE_CORPORATE_ACTIONS,
    headings={
        "symbol": ("symbol", "nsesymbol", "tradingsymbol", "securitysymbol", "ticker"),
        "series": ("series",),
        "ind": ("ind",),
        "faceVal": ("faceval", "facevalue", "facevaluers", "facevalueinrs", "facevalrs", "fv"),
        "subject": ("subject", "purpose", "corporateaction", "action", "particulars"),
        "exDate": ("exdate", "exdt", "exdividenddate"),
        "recDate": ("recdate", "recorddate", "recorddt"),
        "bcStartDate": ("bcstartdate", "bookclosurestartdate", "bcstdt", "bookclosurefrom"),
        "bcEndDate": ("bcenddate", "bookclosureenddate", "bcenddt", "bookclosureto"),
        "ndStartDate": ("ndstartdate", "nodeliverystartdate", "ndstdt"),
        "comp": ("comp", "company", "companyname", "nameofcompany", "nameofthecompany", "securityname"),
        "isin": ("isin", "isincode", "isinno", "isinnumber"),
        "ndEndDate": ("ndenddate", "nodeliveryenddate", "ndenddt"),
        "caBroadcastDate": ("cabroadcastdate", "broadcastdate", "broadcastdatetime"),
    },
    required=("symbol", "subject", "exDate"),
    days=("exDate", "recDate", "bcStartDate", "bcEndDate", "ndStartDate", "ndEndDate"),
    record=_Action,
    isin="isin",
    deciding=("symbol", "subject", "exDate"),
    covers=_covers,
    remarks=_remarks,
)
