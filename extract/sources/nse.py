"""The exchange's own files: its record of corporate actions, and the lists of its indices.

Its web site refuses robots, so a person downloads them. The columns of the first are those of
https://www.nseindia.com/api/corporates-corporateActions, of the second those of https://www.niftyindices.com/indices.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from extract.archive import Archive
from extract.errors import ConfigurationError, PipelineError
from extract.raw import NSE_CORPORATE_ACTIONS, NSE_INDEX_CONSTITUENTS, RawTable
from extract.seeds import EXCHANGE_ZONE

# The columns of each file, as the exchange heads them; ours come after them.
_HEADERS = {
    NSE_CORPORATE_ACTIONS.name: NSE_CORPORATE_ACTIONS.provider_columns.names[:-1],
    NSE_INDEX_CONSTITUENTS.name: [
        name.replace("_", " ") for name in NSE_INDEX_CONSTITUENTS.provider_columns.names[:-2]
    ],
}

# How the exchange names the list of an index that is named by how many shares it holds.
_LIST_NAME = re.compile(r"ind_nifty(?P<kind>[a-z]*)(?P<count>\d+)_?list(?![a-z])")
_INDEX_KINDS = {
    "": "",
    "next": "Next ",
    "midcap": "Midcap ",
    "smallcap": "Smallcap ",
    "microcap": "Microcap ",
    "midsmallcap": "MidSmallcap ",
    "largemidcap": "LargeMidcap ",
}

# A day's files are dated from when the exchange's day begins, so that the same file makes the same batch all day.
_DAY_BEGINS = time(8, 30)


def archive_files(archive: Archive, paths: Sequence[Path], as_of: date, index: str | None = None) -> list[str]:
    """Archive files that were downloaded from the exchange, each as a batch, and return the batches' paths.

    All are read before one is archived. A batch is named after what is in it: the same file again makes no other.

    Args:
        archive: where the batches go.
        paths: of the files.
        as_of: the day that they are of.
        index: whose constituents they list, where a file's name does not tell.

    Raises:
        ConfigurationError: a file is not there, or nothing tells whose constituents it lists.
        PipelineError: a file is empty, torn, or none that we know.
    """
    received_at = datetime.combine(as_of, _DAY_BEGINS, EXCHANGE_ZONE)
    batches = []
    for path in paths:
        table, rows = _read(path, as_of, index)
        digest = hashlib.sha256(repr(rows.to_pylist()).encode()).hexdigest()[:12]
        batches.append((table, rows, f"import-{as_of:%Y%m%d}-{digest}"))
    return [archive.write(table, rows, run_id, 0, received_at) for table, rows, run_id in batches]


def _read(path: Path, as_of: date, index: str | None) -> tuple[RawTable, pa.Table]:
    """What a file holds, in the columns of its raw table."""
    # Left to itself, the reader takes the face values for numbers.
    texts = dict.fromkeys([name for header in _HEADERS.values() for name in header], pa.string())
    try:
        rows = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=texts))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except pa.ArrowInvalid as error:
        raise PipelineError(f"{path} is empty, torn or no CSV file; download it again ({error})") from error
    known = [name for name, header in _HEADERS.items() if rows.column_names == header]
    if not known:
        expected = "; or ".join(",".join(header) for header in _HEADERS.values())
        raise PipelineError(f"{path} is no file that we know: its first line is not {expected}")
    if not rows.num_rows:
        raise PipelineError(f"{path} is empty but for its first line; download it again")
    if known == [NSE_CORPORATE_ACTIONS.name]:
        try:
            # Not by pyarrow, which takes 31-Feb-2020 for the second of March.
            ex_dates = [datetime.strptime(text, "%d-%b-%Y").date() for text in rows["exDate"].to_pylist()]  # noqa: DTZ007
        except ValueError as error:
            raise PipelineError(f"{path} has an exDate that is not like 02-Mar-2020 ({error})") from error
        return NSE_CORPORATE_ACTIONS, rows.append_column("ex_date", pa.array(ex_dates, pa.date32()))
    if not pc.all(pc.match_substring_regex(rows["ISIN Code"], "^[A-Z0-9]{12}$")).as_py():
        raise PipelineError(f"{path} is torn: an ISIN Code in it has not 12 characters; download it again")
    columns = (index_name(path, index), as_of)
    rows = rows.rename_columns(NSE_INDEX_CONSTITUENTS.provider_columns.names[:-2])
    for field, value in zip(list(NSE_INDEX_CONSTITUENTS.provider_columns)[-2:], columns, strict=True):
        rows = rows.append_column(field, pa.repeat(pa.scalar(value, field.type), rows.num_rows))
    return NSE_INDEX_CONSTITUENTS, rows


def index_name(path: Path, index: str | None) -> str:
    """Whose constituents a file lists: ``ind_nifty500list.csv`` those of the NIFTY 500; else what was given.

    Raises:
        ConfigurationError: neither tells, or they contradict each other.
    """
    named = _LIST_NAME.match(path.name)
    told = f"NIFTY {_INDEX_KINDS[named['kind']]}{named['count']}" if named and named["kind"] in _INDEX_KINDS else None
    if told and index and told != index:
        raise ConfigurationError(f"{path} is by its name the list of the {told}, and not of the {index}; rename it")
    if not told and not index:
        raise ConfigurationError(f"the name of {path} does not tell whose list it is; give --index, as 'NIFTY Bank'")
    return told or str(index)
