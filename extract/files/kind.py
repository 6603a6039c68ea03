"""The description of a kind of file: the headings of its columns, and how one of its records is read."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from extract.files.days import FIRST_YEAR, AmbiguousDay, First, read_day
from extract.files.opened import FileRefused
from extract.files.shares import check_share
from extract.files.text import UnreadRow
from extract.landing.raw_table import RawTable

# How people and programs write an empty value.
_BLANKS = ("", "-", "--", "nan", "nat", "none", "null", "n/a", "#n/a", "na", "<na>")

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9&_.-]{0,29}")


class SaysNothing(ValueError):
    """A record that is left out without a fault: it has nothing that can be kept."""


@dataclass(frozen=True, slots=True)
class Download:
    """What is known about a file besides its content.

    Attributes:
        basename: its name, without folders.
        as_of: the day of the file.
        index: the index that the person named.
    """

    basename: str
    as_of: date
    index: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read the records of one file; each validator of pydantic gets it as its context.

    Attributes:
        as_of: the day of the file.
        first: which number comes first in a date of three numbers; see ``extract.files.days.read_day``.
    """

    as_of: date
    first: First | None


class Record(BaseModel):
    """The fields of a record that decide whether it can be kept; the other fields stay as received."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes:
        name: in the plural, in words for a person.
        table: where its rows go.
        headings: by column of the table, the headings that stand for it, as ``plain_heading`` writes them.
        required: the columns without which a file is of another kind.
        days: the columns whose texts are days; of the first, a list covers a period.
        record: reads the fields that decide about a record.
        isin: the column of the ISIN, if a record by itself has to have that of its symbol.
        flags: the columns that are true or false.
        deciding: the columns in which a value that was cut means something else; None for all.
        of_file: returns the columns that all records of a file share, from its name and day.
        covers: returns the first and last day that the list covers, from the file's name.
        check: given the records, the unreadable ones and the download, raises FileRefused if the file as a whole
            cannot be taken.
        remarks: given the records and the download, what is odd about the file as a whole, as the end of a sentence.
        is_of_one_day: whether its rows are true of the day of the file, so that a file of an uncertain day is refused.
        is_replaced: whether, of two files of one day, the one that was taken later counts.
    """

    name: str
    table: RawTable
    headings: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    days: tuple[str, ...]
    record: type[Record]
    isin: str | None = None
    flags: tuple[str, ...] = ()
    deciding: tuple[str, ...] | None = None
    of_file: Callable[[Download], dict[str, Any]] = lambda _: {}
    covers: Callable[[str], tuple[date | None, date | None]] = lambda _: (None, None)
    check: Callable[[Sequence[dict[str, Any]], Sequence[UnreadRow], Download], None] = lambda *_: None
    remarks: Callable[[Sequence[dict[str, Any]], Download], list[str]] = lambda *_: []
    is_of_one_day: bool = False
    is_replaced: bool = False

    def columns(self, headings: Sequence[str | None]) -> dict[str, int]:
        """The place of each column of the table in a row of headings; of two headings for a column, the more usual one.

        Raises:
            FileRefused: a heading occurs twice.
        """
        plain = [plain_heading(heading or "") for heading in headings]
        places: dict[str, int] = {}
        for column, spellings in self.headings.items():
            found = next((spelling for spelling in spellings if spelling in plain), None)
            if found is None:
                continue
            if plain.count(found) > 1:
                raise FileRefused(f"has two columns {' '.join(str(headings[plain.index(found)]).split())}; leave one")
            places[column] = plain.index(found)
        return places

    def read(self, cells: Mapping[str, str | None], reading: Reading) -> dict[str, Any]:
        """A row of the table, without the columns that all records of the file share.

        Raises:
            SaysNothing: the record is left out.
            OfAnotherShare: its symbol and its ISIN are of two shares.
            ValueError: it cannot be read; the text says why.
        """
        try:
            record = self.record.model_validate(cells, context=reading)
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False)
            raise first.get("ctx", {}).get("error") or ValueError(first["msg"]) from None
        values = record.model_dump()
        if self.isin:
            check_share(values[self.table.symbol], values[self.isin])
        return {**cells, **values}


def plain_heading(heading: str) -> str:
    """A heading without the differences between files: case, blanks, line ends, signs, a byte order mark."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", heading).lower())


def is_blank(text: str | None) -> bool:
    """Whether a cell has no value."""
    return text is None or text.strip().lower() in _BLANKS


def is_symbol(text: str) -> bool:
    """Whether the text has the form of a symbol of the exchange."""
    return _SYMBOL.fullmatch(text) is not None


def _symbol(text: str | None) -> str:
    if text is None or is_blank(text):
        raise ValueError("it names no symbol")
    # As the providers write it: NSE:TCS, TCS.NS.
    symbol = text.strip().upper().removeprefix("NSE:").removesuffix(".NS")
    if not is_symbol(symbol):
        raise ValueError(f"{text.strip()!r} is not a symbol")
    if symbol.endswith((".BO", ".BSE")):
        raise ValueError(f"{text.strip()!r} is of the BSE")
    return symbol


def _isin(text: str | None) -> str | None:
    if text is None or is_blank(text):
        return text
    isin = text.strip().upper()
    # Some records of small companies have a code of six digits instead of an ISIN.
    if not re.fullmatch("[A-Z0-9]{12}|[0-9]{6}", isin):
        raise ValueError(f"its ISIN {text.strip()!r} does not have 12 letters and digits")
    return isin


def _ex_date(text: str | None, info: ValidationInfo) -> date:
    reading = info.context
    assert isinstance(reading, Reading)
    if text is None or is_blank(text):
        raise SaysNothing("it has no ex-date")
    try:
        day = read_day(text, first=reading.first)
    except AmbiguousDay as error:
        raise ValueError(f"its ex-date {text.strip()!r} {error}") from None
    except ValueError:
        raise ValueError(f"its ex-date {text.strip()!r} is not a day such as 02-Mar-2020") from None
    # What is announced comes within months.
    if not FIRST_YEAR <= day.year <= reading.as_of.year + 2:
        raise ValueError(f"its ex-date {text.strip()!r} lies too far from {reading.as_of}, the day of the file")
    return day


# Types of a record's fields.
SymbolField = Annotated[str, BeforeValidator(_symbol)]
IsinField = Annotated[str | None, BeforeValidator(_isin)]
ExDateField = Annotated[date, BeforeValidator(_ex_date)]
