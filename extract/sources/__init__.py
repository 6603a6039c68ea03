"""One module for each place that bars come from: it turns the place's answers and errors into ours, nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import pyarrow as pa

from extract.errors import SourceUnavailable
from extract.raw import RawTable
from extract.seeds import Instrument

# The time, with zone.
type Clock = Callable[[], datetime]

# What a provider sent, by the raw table that it belongs to.
type Answer = dict[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Request:
    """What a provider is asked for.

    Attributes:
        table: the raw table that the answer belongs to.
        instruments: whose rows; one, but for quotes; none, where it is the provider's own list.
        first: the first trade date asked for.
        last: the last one.
    """

    table: RawTable
    instruments: tuple[Instrument, ...]
    first: date
    last: date


class Source(Protocol):
    """A provider.

    Attributes:
        source_id: as in the seed ``source_precedence``.
        workers: how many requests may be under way at once, so that a slow answer does not slow the pace.
        requests_per_second: its limit for bars.
    """

    source_id: str
    workers: int
    requests_per_second: float

    def fetch(self, request: Request) -> Answer:
        """Make one attempt, and return the rows in the columns of their raw tables; none is an answer too.

        Raises:
            SourceRefused: asking again will not help.
            SourceUnavailable: asking again may.
        """
        ...

    def hold(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        ...


def as_table(table: RawTable, rows: list[dict[str, Any]]) -> pa.Table:
    """The rows in the provider's columns of a raw table; columns that are not given are null.

    Raises:
        SourceUnavailable: a value is of another type than the provider documents.
    """
    try:
        return pa.Table.from_pylist(rows, table.provider_columns)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise SourceUnavailable(f"the answer holds a value that is no {table.name}: {error}") from error
