"""The state of the data: the row of the view data_status, and what the pipeline itself knows."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from extract.fetching.holes import read_holes, told
from extract.reporting.alerts import Alert, State, Verdict, read_verdict
from extract.seeds import FIRST_DAY, Instrument, exchange_date, listed_instruments, source_order
from extract.threads import begun
from extract.warehouse.connection import Warehouse, require_marts
from extract.warehouse.notes import unmerged_batches

# Each verdict in words.
VERDICTS: dict[State, str] = {
    "ok": "The data can be trusted",
    "incomplete": "Something is missing",
    "wrong": "Something is wrong",
}


_LAST_RUN = """
select source_id, symbol_count, ok_count, failure_message, started_at
from `{base}_operations.operations_extractions`
qualify first_value(run_id) over (order by started_at desc) = run_id
order by source_id
"""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The result of one source in the last run that fetched; part of a row of operations_extractions."""

    source_id: str
    symbol_count: int
    ok_count: int
    failure_message: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """The row of data_status, whose model describes each column; the batches to build; and what is wrong.

    ``missing_bars`` has a sentence for each source that answered without some bars, and will be asked for them again.
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
    latest_disputed_record_count: int
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
    verdict: Verdict

    @property
    def is_degraded(self) -> bool:
        """Whether anything is wrong, or anything expected is missing."""
        return self.verdict.state != "ok"

    @property
    def alerts(self) -> list[Alert]:
        """All alerts, the most urgent first."""
        return self.verdict.alerts

    @property
    def session(self) -> str:
        """One line about the session that is assessed."""
        if self.assessed_trade_date is None:
            return "no session has a valid bar yet"
        counts = f"{self.latest_valid_record_count} of {self.instrument_count} symbols"
        told = f"{self.assessed_trade_date:%a %d %b %Y}: {counts}"
        if self.latest_quality_score is not None:
            told += f", score {self.latest_quality_score:.2f}"
        return told + (", provisional until the next morning" if self.latest_provisional_record_count else "")

    @property
    def headline(self) -> str:
        """The verdict in words, and the line about the session."""
        return f"{VERDICTS[self.verdict.state]}. {self.session}."

    def as_json(self) -> dict[str, Any]:
        """The row with ISO dates, the verdict, its reasons, and all alerts."""
        plain = {k: v.isoformat() if isinstance(v, date) else v for k, v in asdict(self).items()}
        sources = [asdict(s) | {"started_at": s.started_at.isoformat()} for s in self.last_run]
        return plain | {
            "verdict": self.verdict.state,
            "reasons": [asdict(alert) for alert in self.verdict.reasons],
            "alerts": [asdict(alert) for alert in self.verdict.alerts],
            "last_run": sources,
            "is_degraded": self.is_degraded,
        }


def _expected(warehouse: Warehouse, base: str) -> list[Instrument]:
    """The instruments whose bars are expected, by the setting SYMBOLS of the last build."""
    expected = {
        row["symbol"] for row in warehouse.query(f"select symbol from `{base}.dim_instruments` where is_expected")
    }
    return [instrument for instrument in listed_instruments() if instrument.symbol in expected]


def read_status(warehouse: Warehouse) -> Status:
    """Read the state of the data.

    Raises:
        PipelineError: nothing has been built yet, or the warehouse failed.
    """
    require_marts(warehouse)
    base = f"{warehouse.client.project}.{warehouse.dataset}"
    today = exchange_date(datetime.now(UTC))
    # All at once: the warehouse needs longer for each query than we need to send all of them.
    holes = begun(lambda: read_holes(warehouse, source_order(), _expected(warehouse, base), FIRST_DAY, today))
    verdict = begun(lambda: read_verdict(warehouse))
    rows = begun(lambda: warehouse.query(f"select * from `{base}_quality.data_status`"))
    sources = begun(lambda: warehouse.query(_LAST_RUN.format(base=base)))
    batches = begun(lambda: unmerged_batches(warehouse))
    missing, unmerged = told(holes.result()), len(batches.result())
    warnings = [
        Alert("missing_bars", "WARNING", text.split(":")[0], None, text, "trading-data run") for text in missing
    ]
    if unmerged:
        landed = "1 batch has landed" if unmerged == 1 else f"{unmerged} batches have landed"
        text = f"{landed} that no build has taken in."
        warnings.append(Alert("unbuilt_batches", "WARNING", "builds", None, text, "trading-data build"))
    (row,) = rows.result()
    return Status(
        **dict(row.items()),
        unmerged_batch_count=unmerged,
        missing_bars=missing,
        last_run=[SourceStatus(**dict(source.items())) for source in sources.result()],
        verdict=verdict.result().beside(warnings),
    )
