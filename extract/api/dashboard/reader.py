"""Read what the page shows, with a limit on each statement, and keep the answers until the data changes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import HTTPException
from google.cloud import bigquery

from extract.api.dashboard.overview import OVERVIEW_STATEMENTS, Environment, Overview
from extract.api.dashboard.symbol import SYMBOL_STATEMENTS, SymbolView
from extract.api.days import asked_days
from extract.api.kept import KeptAnswers
from extract.api.problems import Refusal
from extract.api.verdict import verdict_of
from extract.errors import ConfigurationError, PipelineError
from extract.landing.archive import Archive
from extract.landing.lease import holder
from extract.reporting.past_runs import read_runs
from extract.reporting.status import Status, read_status
from extract.seeds import Clock, exchange_date
from extract.threads import begun
from extract.warehouse.connection import Warehouse

# So many statements are sent at once: BigQuery answers each in about a second.
_STATEMENTS_AT_ONCE = 6

# The page does not wait longer for the store of the lease, which may retry for minutes.
_LEASE_SECONDS = 5.0

_SCORED_DAYS = 370
_COVERED_DAYS = 62
_SHOWN_DAYS = 370
_LISTED = 20

_STATUS_FIELDS = set(Status.__slots__) - {"verdict"} | {"is_degraded"}


class Reader:
    """Reads what the page shows."""

    def __init__(self, warehouse: Callable[[], Warehouse], clock: Clock, lease_uri: str) -> None:
        """Read nothing yet; ``warehouse`` may fail."""
        self._warehouse = warehouse
        self._lease_uri = lease_uri
        self._clock = clock
        self._answers = KeptAnswers(warehouse)
        self._pool = ThreadPoolExecutor(_STATEMENTS_AT_ONCE, thread_name_prefix="dashboard")

    def warm(self) -> None:
        """Read the overview before it is requested. An error is ignored here; the first request reports it."""
        with suppress(ConfigurationError, PipelineError, HTTPException):
            self.overview()

    def status(self, *, again: bool = False) -> Status:
        """The state of the data.

        Raises:
            PipelineError: the warehouse failed.
            Refusal: nothing was built yet.
        """
        return self._answers.kept("status", self._read_status, again=again)

    def overview(self, *, again: bool = False) -> Overview:
        """Everything except a symbol's own panels; raises what ``status`` raises."""
        before = begun(self._holder)
        kept = self._answers.kept("overview", partial(self._read_overview, again=again), again=again)
        after = begun(self._holder)
        # Read each time, because a run that starts or is killed changes nothing in the warehouse; and twice, because a
        # run that has ended since the runs were read is listed without its end.
        try:
            at_work = {run_id for held in (before, after) if (run_id := held.result(timeout=_LEASE_SECONDS))}
        except (ConfigurationError, PipelineError, TimeoutError):
            return kept.model_copy(update={"at_work": None})
        return kept.model_copy(update={"at_work": sorted(at_work)})

    def _holder(self) -> str | None:
        record = holder(Archive(self._lease_uri, setting="LEASE_URI"), self._clock())
        return record.run_id if record else None

    def symbol(self, symbol: str, first: date | None, last: date | None, *, again: bool = False) -> SymbolView:
        """A symbol's own panels.

        Args:
            symbol: one of our symbols.
            first: the first day; None for about a year before the last.
            last: the last day; None for today.
            again: read it again, even if an answer is kept.
        """
        first, last = asked_days(first, last, exchange_date(self._clock()), _SHOWN_DAYS)
        return self._answers.kept((symbol, first, last), partial(self._read_symbol, symbol, first, last), again=again)

    def _read_status(self) -> Status:
        warehouse = self._warehouse()
        if not warehouse.exists(f"{warehouse.dataset}_operations.operations_alerts"):
            raise Refusal(
                503,
                "nothing-built",
                f"There is no data in {warehouse.client.project}.{warehouse.dataset} yet. Run `trading-data run` to"
                " fetch it, or `trading-data replay` to rebuild it from an archive.",
            )
        return read_status(warehouse)

    def _read_overview(self, *, again: bool) -> Overview:
        warehouse, now = self._warehouse(), self._clock()
        today = exchange_date(now)
        # First, because it raises a clear error if nothing was built.
        status = self.status(again=again)
        runs = self._pool.submit(read_runs, warehouse, _LISTED)
        days = {
            "scored_from": today - timedelta(days=_SCORED_DAYS),
            "covered_from": today - timedelta(days=_COVERED_DAYS),
        }
        asked = self._asked(warehouse, OVERVIEW_STATEMENTS, days)
        rows = {name: answer.result() for name, answer in asked.items()}
        return Overview(
            read_at=now,
            environment=Environment(
                project=warehouse.client.project, dataset=warehouse.dataset, version=version("trading-data")
            ),
            verdict=verdict_of(status, status.alerts),
            **{name: getattr(status, name) for name in Overview.model_fields.keys() & _STATUS_FIELDS},
            **rows,
            runs=runs.result(),
        )

    def _read_symbol(self, symbol: str, first: date, last: date) -> SymbolView:
        warehouse = self._warehouse()
        asked = self._asked(warehouse, SYMBOL_STATEMENTS, {"symbol": symbol, "shown_from": first, "shown_to": last})
        rows = {name: answer.result() for name, answer in asked.items()}
        (instrument,) = rows["instrument"] or [{"name": None, "sector": None, "former_symbols": []}]
        unscored = dict.fromkeys(("quality_score", "expected_bar_count", "missing_bar_count", "invalid_bar_count"))
        (score,) = rows["score"] or [unscored]
        return SymbolView(
            symbol=symbol,
            **instrument,
            **score,
            shown_from=first,
            shown_to=last,
            bars=rows["bars"],
            versions=rows["versions"],
            actions=rows["actions"],
        )

    def _asked(
        self, warehouse: Warehouse, statements: dict[str, str], values: dict[str, Any]
    ) -> dict[str, Future[Any]]:
        base = f"{warehouse.client.project}.{warehouse.dataset}"
        names = {
            "marts": base,
            "quality": f"{base}_quality",
            "intermediate": f"{base}_intermediate",
            "listed": _LISTED,
        }

        def ask(sql: str) -> list[dict[str, Any]]:
            parameters = [_parameter(name, value) for name, value in values.items() if f"@{name}" in sql]
            return [dict(row.items()) for row in warehouse.query(sql.format(**names), parameters)]

        return {name: self._pool.submit(ask, sql) for name, sql in statements.items()}


def _parameter(name: str, value: str | date) -> bigquery.ScalarQueryParameter:
    return bigquery.ScalarQueryParameter(name, "DATE" if isinstance(value, date) else "STRING", value)
