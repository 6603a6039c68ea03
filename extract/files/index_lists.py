"""The lists of the members of the exchange's indices, from https://www.niftyindices.com."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import field_validator

from extract.files.kind import Download, IsinField, Kind, Record, SymbolField, is_blank, plain_heading
from extract.files.opened import FileRefused
from extract.files.text import UnreadRow
from extract.landing.raw import NSE_INDEX_CONSTITUENTS

# The file name of the list of an index whose name contains its number of shares.
_LIST_NAME = re.compile(r"ind_nifty(?P<kind>[a-z]*)(?P<count>\d+)_?list(?![a-z])", re.IGNORECASE)
_INDEX_KINDS = {
    "": "",
    "next": "Next ",
    "midcap": "Midcap ",
    "smallcap": "Smallcap ",
    "microcap": "Microcap ",
    "midsmallcap": "MidSmallcap ",
    "largemidcap": "LargeMidcap ",
}


# Other indices, without their first word.
_OTHER_INDICES = (
    "Auto",
    "Bank",
    "Commodities",
    "Consumer Durables",
    "CPSE",
    "Energy",
    "Financial Services",
    "FMCG",
    "Healthcare",
    "India Consumption",
    "Infrastructure",
    "IT",
    "Media",
    "Metal",
    "Midcap Select",
    "MNC",
    "Oil & Gas",
    "Pharma",
    "Private Bank",
    "PSE",
    "PSU Bank",
    "Realty",
    "Services Sector",
    "Total Market",
)

# A list has a few members more than its index has shares: those of two series, and a placeholder after a demerger. With
# this many times as many, it is of another index.
_FEW_MORE, _TIMES_OF_ANOTHER = 2, 1.2


class _Member(Record):
    Symbol: SymbolField
    ISIN_Code: IsinField

    @field_validator("ISIN_Code")
    @classmethod
    def _is_there(cls, isin: str | None) -> str:
        if is_blank(isin):
            raise ValueError("it has no ISIN Code")
        return str(isin)


def index_name(basename: str, index: str | None) -> str:
    """The index whose constituents a file lists: the NIFTY 500 for ``ind_nifty500list.csv``; else the given one.

    Raises:
        FileRefused: neither the name nor the argument says which index, or they contradict each other.
    """
    named = _LIST_NAME.search(basename)
    told = _counted_index(named["kind"], named["count"]) if named else None
    given = _as_known(index) if index else None
    if told and given and told != given:
        raise FileRefused(f"is by its name the list of the {told}, and not of the {given}; rename it", is_usage=True)
    if not told and not given:
        reason = "is an index's list, and its name does not tell of which index; give --index, as 'NIFTY Bank'"
        raise FileRefused(reason, is_usage=True)
    return told or str(given)


def _counted_index(kind: str, count: str) -> str | None:
    known = _INDEX_KINDS.get(kind.lower())
    return None if known is None else f"NIFTY {known}{count}"


def _as_known(index: str) -> str | None:
    """The index that a person has named, as we write it, whatever its case and blanks; others as given."""
    plain = plain_heading(index).removesuffix("index")
    if not plain:
        return None
    if counted := re.fullmatch(r"(?:nifty)?([a-z]*)(\d+)", plain):
        known = _counted_index(counted[1], counted[2])
        if known:
            return known
    others = {plain_heading(name): f"NIFTY {name}" for name in _OTHER_INDICES}
    words = index.split()
    if words[0].lower() == "nifty":
        words[0] = "NIFTY"
    return others.get(plain.removeprefix("nifty"), " ".join(words))


def _of_file(download: Download) -> dict[str, Any]:
    return {"index_name": index_name(download.basename, download.index), "list_date": download.as_of}


def _counts(rows: Sequence[dict[str, Any]], download: Download) -> tuple[str, int, int | None]:
    """The index, the number of members, and how many the index has; None if its name does not say it."""
    name = index_name(download.basename, download.index)
    counted = re.search(r" (\d+)$", name)
    return name, len({row["ISIN_Code"] for row in rows}), int(counted[1]) if counted else None


def _check(rows: Sequence[dict[str, Any]], _: Sequence[UnreadRow], download: Download) -> None:
    name, members, count = _counts(rows, download)
    if count and members >= _TIMES_OF_ANOTHER * count:
        raise FileRefused(f"has {members} members, and the {name} has {count}: it is of another index")


def _remarks(rows: Sequence[dict[str, Any]], download: Download) -> list[str]:
    """Whether members are missing, as who is not in a list counts as having left the index; or some are too many."""
    name, members, count = _counts(rows, download)
    if count is None or count <= members <= count + _FEW_MORE:
        return []
    why = "it may be cut" if members < count else "some may be of another index"
    return [f"has {members} members, and the {name} has {count}: {why}; compare it with the exchange's"]


INDEX_LISTS = Kind(
    name="index constituents",
    table=NSE_INDEX_CONSTITUENTS,
    headings={
        "Company_Name": ("companyname", "company", "nameofcompany", "nameofthecompany", "securityname"),
        "Industry": ("industry", "sector", "industrysector"),
        "Symbol": ("symbol", "nsesymbol", "tradingsymbol", "securitysymbol"),
        "Series": ("series",),
        "ISIN_Code": ("isincode", "isin", "isinno", "isinnumber"),
    },
    required=("Company_Name", "Industry", "Symbol", "ISIN_Code"),
    days=(),
    record=_Member,
    isin="ISIN_Code",
    deciding=("Symbol",),
    of_file=_of_file,
    check=_check,
    remarks=_remarks,
    is_of_one_day=True,
)
