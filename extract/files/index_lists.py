"""The lists of the members of the exchange's indices, from https://www.niftyindices.com."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import field_validator

from extract.files.kind import Download, IsinField, Kind, Record, SymbolField, is_blank
from extract.files.opened import FileRefused
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
    kind = _INDEX_KINDS.get(named["kind"].lower()) if named else None
    told = f"NIFTY {kind}{named['count']}" if named and kind is not None else None
    if told and index and told != index:
        raise FileRefused(f"is by its name the list of the {told}, and not of the {index}; rename it", is_usage=True)
    if not told and not index:
        reason = "is an index's list, and its name does not tell of which index; give --index, as 'NIFTY Bank'"
        raise FileRefused(reason, is_usage=True)
    return told or str(index)


def _of_file(download: Download) -> dict[str, Any]:
    return {"index_name": index_name(download.basename, download.index), "list_date": download.as_of}


def _remarks(rows: Sequence[dict[str, Any]], download: Download) -> list[str]:
    """Whether members are missing: who is not in a list counts as having left the index."""
    name = index_name(download.basename, download.index)
    counted = re.search(r"\d+$", name)
    members = len({row["ISIN_Code"] for row in rows})
    if not counted or members >= int(counted[0]):
        return []
    return [f"has {members} members, and the {name} has {counted[0]}: it may be cut; compare it with the exchange's"]


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
    deciding=("Symbol",),
    of_file=_of_file,
    remarks=_remarks,
)
