"""Bars as a panel: days down, symbols across."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def wide_panel(long: pa.Table, wanted: Sequence[str] | None = None) -> pa.Table:
    """One row for each day and one column for each symbol, both sorted; null where a symbol has no row.

    Args:
        long: a symbol, a day and a value in each row, in this order of columns.
        wanted: the symbols that get a column, even without rows; None for those that have rows.

    Raises:
        ValueError: a symbol has several rows of one day.
    """
    _, day, value = long.column_names
    days = pc.unique(long[day]).sort()
    symbols = pc.unique(long["symbol"]).sort() if wanted is None else pa.array(sorted(wanted), pa.string())
    of_day = pc.index_in(long[day], days).to_numpy()
    of_symbol = pc.index_in(long["symbol"], symbols).to_numpy()
    places = np.full((len(symbols), len(days)), -1, dtype=np.int64)
    places[of_symbol, of_day] = np.arange(long.num_rows)
    if int((places >= 0).sum()) < long.num_rows:
        raise ValueError(f"there are several rows of {value} for a symbol and day")
    values = long[value].combine_chunks()
    columns = [values.take(pa.array(row, mask=row < 0)) for row in places]
    return pa.table([days, *columns], [day, *symbols.to_pylist()])
