"""Bars over HTTP: exact, bounded, and asked for again without being sent again."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from extract.warehouse.notes import note_build
from tests.reports.conftest import AUTHORIZATION, FIRST, RESTATED, TOKEN, Populated, serving

_COLUMNS = (
    "symbol, trade_date, open, high, low, close, adjusted_close, volume, source_id, quality_score, is_provisional"
)


@pytest.fixture(scope="module")
def client(populated: Populated) -> Iterator[httpx.Client]:
    with serving(populated.pipeline, API_TOKEN=TOKEN) as served:
        served.headers.update(AUTHORIZATION)
        yield served


def test_bars_are_those_of_the_warehouse_to_the_last_digit(client: httpx.Client, populated: Populated) -> None:
    asked = {"symbol": f"{RESTATED.lower()}, infy", "from": str(FIRST)}
    rows = populated.pipeline.query(
        f"select {_COLUMNS} from `{{d}}.daily_bars` where symbol in ('INFY', '{RESTATED}')"
        f" and trade_date >= date '{FIRST}' order by symbol, trade_date"
    )
    assert len(rows) > 400
    bars = client.get("/bars", params=asked).json()["bars"]
    names = _COLUMNS.split(", ")
    assert all(list(bar) == names for bar in bars)
    prices = slice(2, 7)
    assert [[Decimal(bar[name]) for name in names[prices]] for bar in bars] == [list(row[prices]) for row in rows]
    # Never as a number, which a program would round.
    assert all(isinstance(bar["close"], str) and "E" not in bar["close"] for bar in bars)
    assert [[bar[name] for name in names[7:]] for bar in bars] == [list(row[7:]) for row in rows]
    assert [(bar["symbol"], bar["trade_date"]) for bar in bars] == [(row[0], str(row[1])) for row in rows]

    answer = client.get("/bars", params=asked | {"format": "csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="INFY-TCS_')
    written = list(csv.DictReader(io.StringIO(answer.text)))
    assert [
        {name: "" if v is None else str(v).replace("True", "true").replace("False", "false") for name, v in bar.items()}
        for bar in bars
    ] == written


def test_what_has_not_changed_is_not_sent_again(client: httpx.Client, populated: Populated) -> None:
    asked = {"symbol": "TCS", "from": str(FIRST)}
    first = client.get("/bars", params=asked)
    assert first.headers["Cache-Control"] == "private, no-cache"
    tag = {"If-None-Match": first.headers["ETag"]}
    again = client.get("/bars", params=asked, headers=tag)
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    # Another question has another tag, whatever was sent with it.
    for other in ({"symbol": "INFY"}, {"format": "csv"}, {"to": "2026-01-01"}):
        assert client.get("/bars", params=asked | other, headers=tag).status_code == 200
    # Whoever may not ask learns nothing by a tag.
    assert client.get("/bars", params=asked, headers=tag | {"Authorization": "Bearer x"}).status_code == 401
    with populated.pipeline.warehouse() as warehouse:
        note_build(warehouse, "another", None)
    assert client.get("/bars", params=asked, headers=tag).status_code == 200


@pytest.mark.parametrize(
    ("asked", "status", "kind", "said"),
    [
        ({"symbol": "tcs,infy,itc,lt", "from": "2010-01-01"}, 422, "too-much", "Ask for 3 symbols at once"),
        ({"symbol": "RELIANC"}, 404, "unknown-symbol", "did you mean RELIANCE?"),
        ({"symbol": "zomato"}, 404, "renamed-symbol", "ZOMATO is ETERNAL now"),
        ({"symbol": " , "}, 422, "not-valid", "query/symbol: names no symbol"),
        ({}, 422, "not-valid", "query/symbol: Field required"),
        ({"symbol": "TCS", "frm": "2024-01-01"}, 422, "not-valid", "query/frm: is not known here; did you mean from?"),
        ({"symbol": "TCS", "from": "2009-12-31"}, 422, "not-valid", "is before 2010-01-01"),
        ({"symbol": "TCS", "from": "2024-01-02", "to": "2024-01-01"}, 422, "not-valid", "is after 2024-01-01"),
        ({"symbol": "TCS", "from": "soon"}, 422, "not-valid", "query/from"),
        ({"symbol": "TCS", "to": "0"}, 422, "not-valid", "written as 2024-12-31"),
        ({"symbol": "TCS", "to": "2000-01-01"}, 422, "not-valid", "query/to: is before 2010-01-01"),
        ({"symbol": "TCS", "format": "xlsx"}, 422, "not-valid", "'json' or 'csv'"),
    ],
)
def test_what_cannot_be_given_says_what_to_ask_for(
    client: httpx.Client, asked: dict[str, str], status: int, kind: str, said: str
) -> None:
    answer = client.get("/bars", params=asked)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/docs#{kind}")
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("symbol", ["tcs", "TCS.NS", "nse:tcs", ' "TCS"'])
def test_a_symbol_is_taken_as_people_and_providers_write_it(client: httpx.Client, symbol: str) -> None:
    bars = client.get("/bars", params={"symbol": symbol, "from": str(FIRST)}).json()["bars"]
    assert {bar["symbol"] for bar in bars} == {"TCS"}


def test_days_without_bars_are_an_empty_answer(client: httpx.Client) -> None:
    asked = {"symbol": "TCS", "from": "2012-01-01", "to": "2012-02-01"}
    assert client.get("/bars", params=asked).json() == {"bars": []}
    assert len(client.get("/bars", params=asked | {"format": "csv"}).text.splitlines()) == 1
