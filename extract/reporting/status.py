"""The state of the data: a row that the view data_status tells, and what the pipeline itself knows."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from extract.fetching.holes import read_holes, told
from extract.reporting.alerts import Alert, read_alerts
from extract.seeds import EXCHANGE_ZONE, FIRST_DAY, exchange_date, listed_instruments, source_order
from extract.warehouse.connection import Warehouse, require_marts


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What came of one source in the last run that fetched; a row of operations_extractions, in part."""

    source_id: str
    symbol_count: int
    ok_count: int
    failure_message: str | None
    started_at: datetime

    @property
    def is_degraded(self) -> bool:
        """Whether it failed for a symbol. The third opinion has a budget, and is asked again."""
        return self.ok_count < self.symbol_count and self.source_id in source_order()


@dataclass(frozen=True, slots=True)
class Status:
    """The row of data_status, whose model describes each column; what waits to be built; and what is wrong.

    ``missing_bars`` has a sentence for each source that answered without bars, and has not been asked often enough yet.
    """

    unserved_symbols: list[str]
    stale_sources: list[str]
    unknown_symbols: list[str]
    instrument_count: int
    symbol_count: int
    record_count: int
    valid_record_count: int
    exchange_record_count: int
    unreconciled_record_count: int
    latest_valid_record_count: int
    latest_provisional_record_count: int
    latest_fallback_record_count: int
    repeated_session_count: int
    overdue_session_count: int
    sessions_behind: int | None
    latest_quality_score: float | None
    quality_score: float | None
    latest_trade_date: date | None
    due_trade_date: date
    assessed_trade_date: date | None
    calendar_ends_on: date
    unmerged_batch_count: int
    missing_bars: list[str]
    last_run: list[SourceStatus]
    alerts: list[Alert]

    @property
    def is_degraded(self) -> bool:
        """Whether something that should be here is not: a session, a symbol, a source, a batch, or the calendar."""
        return bool(
            self.sessions_behind != 0
            or self.unserved_symbols
            or self.stale_sources
            or self.repeated_session_count
            or self.overdue_session_count
            or self.unknown_symbols
            or self.unmerged_batch_count
            or self.missing_bars
            or any(source.is_degraded for source in self.last_run)
            or self.calendar_ends_on < datetime.now(EXCHANGE_ZONE).date()
        )

    def as_json(self) -> dict[str, Any]:
        """The row with ISO dates, and whether it is degraded."""
        plain = {k: v.isoformat() if isinstance(v, date) else v for k, v in asdict(self).items()}
        sources = [asdict(s) | {"started_at": s.started_at.isoformat()} for s in self.last_run]
        return plain | {"last_run": sources, "is_degraded": self.is_degraded}


def read_status(warehouse: Warehouse) -> Status:
    """Read the state of the data.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    require_marts(warehouse)
    base = f"{warehouse.client.project}.{warehouse.dataset}"
    (row,) = warehouse.query(f"select * from `{base}_quality.data_status`")
    sources = warehouse.query(
        f"""
        select source_id, symbol_count, ok_count, failure_message, started_at
        from `{base}_operations.operations_extractions`
        qualify first_value(run_id) over (order by started_at desc) = run_id
        order by source_id
        """
    )
    today = exchange_date(datetime.now(UTC))
    return Status(
        **dict(row.items()),
        unmerged_batch_count=len(warehouse.unmerged_batches()),
        missing_bars=told(read_holes(warehouse, source_order(), listed_instruments(), FIRST_DAY, today)),
        last_run=[SourceStatus(**dict(source.items())) for source in sources],
        alerts=read_alerts(warehouse),
    )
