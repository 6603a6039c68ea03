"""Read the rows of a seed, a CSV file that a person edits; an error names the file, the line and the column."""

import csv
from collections.abc import Callable
from datetime import date

from extract.errors import ConfigurationError
from extract.settings import PROJECT_DIR


def read_seed[T](name: str, read: Callable[[dict[str, str]], T]) -> list[T]:
    """Each row of a seed, read.

    Raises:
        ConfigurationError: the file, or a value in it, cannot be read, for example after a spreadsheet has changed it.
    """
    path = PROJECT_DIR / "seeds" / f"{name}.csv"
    rows: list[T] = []
    try:
        # Spreadsheets put a byte order mark before the first column.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file, restval="")
            rows += (read(_filled(row)) for row in lines)
    except KeyError as missing:
        raise ConfigurationError(
            f"seeds/{name}.csv has no column {missing.args[0]}; save it as CSV in UTF-8, with commas between the values"
        ) from missing
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"seeds/{name}.csv is not in UTF-8; save it as CSV in UTF-8") from error
    except (ValueError, csv.Error) as error:
        raise ConfigurationError(f"seeds/{name}.csv, line {lines.line_num}: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"seeds/{name}.csv cannot be read: {error.strerror or error}") from error
    return rows


def day_of(row: dict[str, str], column: str, empty: date | None = None) -> date:
    """The day in a column; ``empty`` where it is empty and may be.

    Raises:
        ValueError: it is not a day.
    """
    if empty and not row[column]:
        return empty
    try:
        return date.fromisoformat(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}; write it as 2024-12-31") from None


def number_of(row: dict[str, str], column: str) -> int:
    """The whole number in a column.

    Raises:
        ValueError: it is none.
    """
    try:
        return int(row[column])
    except ValueError:
        raise ValueError(f"{column} is {row[column]!r}, and no whole number") from None


def _filled(row: dict[str, str]) -> dict[str, str]:
    if not any(row.values()):
        raise ValueError("the row is empty; delete it")
    return row
