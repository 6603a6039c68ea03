"""The state of the data in one row, as the view data_status tells it."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from extract.archive import EXCHANGE_ZONE
from extract.errors import PipelineError
from extract.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Status:
    """One row of data_status; the model describes each column."""

    unserved_symbols: list[str]
    unknown_symbols: list[str]
    instrument_count: int
    symbol_count: int
    record_count: int
    valid_record_count: int
    unreconciled_record_count: int
    latest_valid_record_count: int
    latest_provisional_record_count: int
    latest_fallback_record_count: int
    sessions_behind: int | None
    latest_quality_score: float | None
    quality_score: float | None
    latest_trade_date: date | None
    due_trade_date: date
    calendar_ends_on: date
    unmerged_batch_count: int

    @property
    def is_degraded(self) -> bool:
        """Whether something that should be here is not: a session, a symbol, a batch in the marts, or the calendar."""
        return bool(
            self.sessions_behind != 0
            or self.unserved_symbols
            or self.unknown_symbols
            or self.unmerged_batch_count
            or self.calendar_ends_on < datetime.now(EXCHANGE_ZONE).date()
        )

    def as_json(self) -> dict[str, Any]:
        """The row with ISO dates, and whether it is degraded."""
        plain = {k: v.isoformat() if isinstance(v, date) else v for k, v in asdict(self).items()}
        return plain | {"is_degraded": self.is_degraded}


def read_status(warehouse: Warehouse) -> Status:
    """Read the state of the data.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    if not warehouse.exists(f"{warehouse.dataset}_quality.data_status"):
        raise PipelineError(
            f"nothing has been built in {warehouse.client.project}.{warehouse.dataset} yet; run `trading-data replay`"
        )
    (row,) = warehouse.query(f"select * from `{warehouse.client.project}.{warehouse.dataset}_quality.data_status`")
    return Status(**dict(row.items()), unmerged_batch_count=len(warehouse.unmerged_batches()))
