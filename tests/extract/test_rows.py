"""The rows of an answer reach whoever reads them as they are: no cut, no rounding, no markup, no line too few."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from extract.reporting.rows import write_rows
from tests.conftest import Pipeline

LONG = "x" * 300


def written(form: str, *values: object) -> str:
    out = io.StringIO()
    assert write_rows([f"c{n}" for n in range(len(values))], [values], form, out) == 1
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "plain", "as_json"),
    [
        (None, "", "null"),
        (True, "true", "true"),
        (12, "12", "12"),
        (0.1, "0.1", "0.1"),
        (math.nan, "nan", '"nan"'),
        (math.inf, "inf", '"inf"'),
        (Decimal("12345678901234567.89"), "12345678901234567.89", "12345678901234567.89"),
        (Decimal("1.50"), "1.50", "1.50"),
        (Decimal("1E+3"), "1000", "1000"),
        (date(2024, 1, 2), "2024-01-02", '"2024-01-02"'),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), "2024-01-02T03:00:00+00:00", '"2024-01-02T03:00:00+00:00"'),
        (b"abc", "YWJj", '"YWJj"'),
        ("[/] z", "[/] z", '"[/] z"'),
        ("[red]", "[red]", '"[red]"'),
        ("आ", "आ", '"आ"'),
        ([], "[]", "[]"),
        ([date(2024, 1, 1), None], '["2024-01-01", null]', '["2024-01-01", null]'),
        ([Decimal("12345678901234567.89")], "[12345678901234567.89]", "[12345678901234567.89]"),
        ({"a": Decimal("1.5"), "b": ["x"]}, '{"a": 1.5, "b": ["x"]}', '{"a": 1.5, "b": ["x"]}'),
        (LONG, LONG, f'"{LONG}"'),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_is_written_whole_in_each_form(value: object, plain: str, as_json: str) -> None:
    assert written("csv", value, "end") == f"c0,c1\n{next(_line(plain))},end\n"
    assert written("jsonl", value) == f'{{"c0": {as_json}}}\n'
    assert json.loads(written("jsonl", value))
    assert json.loads(written("json", value)) == [json.loads(written("jsonl", value))]
    assert f"│ {plain}" in written("table", value)


def _line(plain: str) -> Iterator[str]:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([plain, ""])
    yield out.getvalue()[:-1]


def test_a_heading_is_no_markup_and_what_moves_the_cursor_is_written_out() -> None:
    out = io.StringIO()
    write_rows(["[red]"], [("\x1b[2J\r",)], "table", out)
    assert "[red]" in out.getvalue()
    assert "\\x1b[2J\\r" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "markdown"])
def test_rows_are_written_as_they_come(form: str) -> None:
    out = io.StringIO()
    seen = []

    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            seen.append(out.getvalue().count("\n"))
            yield (number,)

    assert write_rows(["n"], rows(), form, out) == 3
    # A header, and of a table of Markdown the line below it; or nothing. The array's bracket comes before its rows.
    before = {"csv": 1, "markdown": 2}.get(form, 0)
    assert seen == [before, before + 1, before + 2]


def test_no_rows_are_an_empty_array_and_a_table_of_headings() -> None:
    for form, expected in (("json", "[]\n"), ("jsonl", ""), ("csv", "n\n"), ("table", "┌───┐\n│ n │\n├───┤\n└───┘\n")):
        out = io.StringIO()
        assert write_rows(["n"], [], form, out, width=80) == 0
        assert out.getvalue() == expected


def test_a_wide_table_turns_few_rows_on_their_side_and_loses_columns_of_many() -> None:
    names = [f"column_{n}" for n in range(19)]
    for count in (1, 5, 6):
        out = io.StringIO()
        write_rows(names, [[LONG if n == 18 else n for n in range(19)]] * count, "table", out, width=80)
        lines = out.getvalue().splitlines()
        if count == 6:
            assert lines[-1] == "7 of 19 columns shown; --format csv has all"
            assert max(map(len, lines)) <= 80
        else:
            assert lines[1] == "column_0  │ 0"
            assert out.getvalue().count(LONG) == count


def test_a_column_grows_where_a_later_row_needs_it_and_numbers_stand_to_the_right() -> None:
    out = io.StringIO()
    write_rows(["s", "n"], [("a", 1.5)] * 6000 + [("b" * 30, 123.25)] + [("मा", None)], "table", out)
    lines = out.getvalue().splitlines()
    assert lines[3] == "│ a │ 1.5 │"
    assert lines[-3] == f"│ {'b' * 30} │ 123.25 │"
    assert len(lines[-1]) == len(lines[-3])


def test_markdown_takes_no_value_for_its_own_signs() -> None:
    assert written("markdown", "a|b", "*x* [l](u)", "one\ntwo", "is_final").splitlines()[2] == (
        r"| a\|b | \*x\* \[l\](u) | one<br>two | is_final |"
    )


def test_the_command_says_how_many_rows_and_cuts_none(pipeline: Pipeline) -> None:
    sql = f"select '[/] z' as `a`, numeric '12345678901234567.89' as n, '{LONG}' as l from unnest([1, 2]) as one"
    done = pipeline.command("query", sql, environment={"COLUMNS": "40"})
    assert (done.returncode, done.stdout.count(LONG), done.stdout.count("[/] z")) == (0, 2, 2), done.stderr
    assert "12345678901234567.89" in done.stdout
    assert re.search(r"\n2 rows, \d+\.\d s\n$", done.stdout)
    done = pipeline.command("query", sql, "--format", "csv")
    assert len(list(csv.reader(io.StringIO(done.stdout)))) == 3
    assert "2 rows" in done.stderr
