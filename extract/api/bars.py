"""Bars for programs: a bounded part of the view daily_bars, as JSON or CSV, with exact prices."""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from google.cloud import bigquery
from pydantic import BaseModel, Field

from extract.api.access import REFUSALS
from extract.api.days import Day, asked_days
from extract.api.kept import Mark, read_mark
from extract.api.parameters import not_valid
from extract.api.problems import Refusal, refusals, unavailable
from extract.api.symbols import our_symbol
from extract.reporting.rows import write_rows
from extract.seeds import FIRST_DAY, Clock, exchange_date
from extract.warehouse.connection import Warehouse

# Seventeen years of three symbols, or a year of sixty. These are some 15,000 bars, or 3 MB before they are compressed.
_MOST_SYMBOL_YEARS = 60
_YEAR = 365.25
_DEFAULT_DAYS = 365

_Price = Annotated[str, Field(description="Rupees a share, exact, as a string.", pattern=r"^-?[0-9]+([.][0-9]+)?$")]


class DailyBar(BaseModel):
    """A row of daily_bars, in part. Prices are in shares of today; adjusted_close has no dividends in it either."""

    symbol: str
    trade_date: date
    open: _Price
    high: _Price
    low: _Price
    close: _Price
    adjusted_close: _Price | None
    volume: int
    source_id: str
    quality_score: float | None
    is_provisional: bool


class DailyBars(BaseModel):
    """Valid bars, by symbol and day."""

    bars: list[DailyBar]


def bar_routes(warehouse: Callable[[], Warehouse], clock: Clock) -> APIRouter:
    """The route of the bars.

    Args:
        warehouse: returns the warehouse; it may fail.
        clock: the time, with zone.
    """
    routes = APIRouter(tags=["Data"])

    @routes.get(
        "/bars",
        summary="Daily bars",
        response_model=DailyBars,
        responses=REFUSALS
        | refusals(404)
        | {
            200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
            304: {"description": "Nothing has changed since the answer whose ETag was sent."},
        },
    )
    def bars(
        request: Request,
        symbol: Annotated[
            str,
            Query(
                min_length=1,
                max_length=2000,
                description="One symbol, or several with commas between them, in any case.",
                openapi_examples={"one": {"value": "RELIANCE"}, "two": {"value": "tcs,infy"}},
            ),
        ],
        first: Annotated[
            Day | None,
            Query(
                alias="from",
                description=f"The first day, since {FIRST_DAY}; by default a year before the last.",
                openapi_examples={"day": {"value": "2026-01-01"}},
            ),
        ] = None,
        last: Annotated[Day | None, Query(alias="to", description="The last day; by default today.")] = None,
        form: Annotated[Literal["json", "csv"], Query(alias="format", description="How to write it.")] = "json",
    ) -> Response:
        """Valid bars of one symbol or several, from one day to another, both included.

        A price is exact: in JSON it is a string, because most programs read a number of JSON as a binary float; in CSV
        it is written as it is. `close` is in shares of today; `adjusted_close` is without dividends too.

        An answer has at most 60 symbol-years: 3 symbols over 20 years, or 60 symbols over one. Send its `ETag` as
        `If-None-Match` with the next request: if nothing was built in between, the answer is 304 and empty.
        """
        first, last = asked_days(first, last, exchange_date(clock()), _DEFAULT_DAYS)
        symbols = sorted({our_symbol(typed) for typed in symbol.split(",") if typed.strip()})
        if not symbols:
            raise not_valid("symbol", "names no symbol", symbol)
        _check_size(symbols, first, last)
        with unavailable():
            opened = warehouse()
            mark = read_mark(opened)
            tag = _tag(mark, symbols, first, last, form)
            headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
            if tag in request.headers.get("If-None-Match", ""):
                return Response(status_code=304, headers=headers)
            if mark.built_at is None:
                raise Refusal(503, "nothing-built", "There is no data yet. Run `trading-data run`, and ask again.")
            rows = _read(opened, symbols, first, last)
        name = f"{'-'.join(symbols[:3])}_{first}_{last}.{form}"
        if form == "csv":
            headers["Content-Disposition"] = f'attachment; filename="{name}"'
            return Response(_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)
        return Response(json.dumps({"bars": rows}, default=str), media_type="application/json", headers=headers)

    return routes


def _check_size(symbols: list[str], first: date, last: date) -> None:
    years = ((last - first).days + 1) / _YEAR
    if len(symbols) * years <= _MOST_SYMBOL_YEARS:
        return
    most = int(_MOST_SYMBOL_YEARS / years)
    raise Refusal(
        422,
        "too-much",
        f"{len(symbols)} symbols over {years:.1f} years are more than {_MOST_SYMBOL_YEARS} symbol-years. Ask for {most}"
        f" symbol{'s' * (most != 1)} at once, or for fewer years; `trading-data query` reads all of daily_bars.",
    )


def _tag(mark: Mark, *asked: object) -> str:
    told = json.dumps([mark.built_at, *asked], default=str)
    # A weak tag, because the answer may be compressed.
    return f'W/"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'


def _read(warehouse: Warehouse, symbols: list[str], first: date, last: date) -> list[dict[str, Any]]:
    rows = warehouse.query(
        f"""
        select {", ".join(DailyBar.model_fields)}
        from `{warehouse.client.project}.{warehouse.dataset}.daily_bars`
        where symbol in unnest(@symbols) and trade_date between @first and @last
        order by symbol, trade_date
        """,
        [
            bigquery.ArrayQueryParameter("symbols", "STRING", symbols),
            bigquery.ScalarQueryParameter("first", "DATE", first),
            bigquery.ScalarQueryParameter("last", "DATE", last),
        ],
    )
    return [{name: _exact(value) for name, value in row.items()} for row in rows]


def _exact(value: Any) -> Any:
    """A decimal as a person writes it: 342.65, without trailing zeros, and never with an exponent."""
    if not isinstance(value, Decimal):
        return value
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    write_rows(list(DailyBar.model_fields), (list(row.values()) for row in rows), "csv", text)
    return text.getvalue()
