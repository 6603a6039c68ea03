"""What a statement was translated into before, beside what it is translated into now."""

from pathlib import Path
from typing import Any

import pytest
from local_bigquery.sql.translate import Context
from sqlglot import exp, parse_one

from infra.local.emulator import PROJECT
from infra.local.translations import Translations
from tests.infra.test_emulator import run_in_a_process

_ASK = """
import sys
from pathlib import Path
from local_bigquery.engine import database
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import merge, query
from local_bigquery.models import JobConfigurationQuery
from local_bigquery.sql.translate import translate
from infra.local import emulator

y = "Y"
translated = []
def noted(tree, context):
    translated.append(tree)
    return translate(tree, context)
query.translate = merge.translate = noted
emulator.TRANSLATIONS = Path(sys.argv[1], "translations.sqlite")
emulator.open_emulator(Path(sys.argv[1]))

def ask(sql, number=iter(range(999)), **settings):
    # How many trees were translated, and the rows.
    translated.clear()
    config = JobConfigurationQuery(query=sql, **settings)
    with database.cursor() as cur:
        statistics, _, destination = query.execute(cur, "local", f"job{next(number)}", config)
    if destination is None:
        return len(translated), statistics
    from local_bigquery.catalog import tables
    place = tables.name(destination.projectId, destination.datasetId, destination.tableId)
    return len(translated), database.fetch(f"select * from {place}"), statistics
"""


def test_a_statement_is_translated_once_also_by_the_next_process(tmp_path: Path) -> None:
    script = """
made = Path(sys.argv[1], "made")
if not made.exists():
    made.touch()
    ask("create schema a")
    ask("create table a.t (x int64, y numeric)")
    ask("insert into a.t (x, y) values (1, 2.5)")
    assert ask("select x / 2 as half, y from a.t")[0] == 1
count, rows, statistics = ask("select x / 2 as half, y from a.t")
halves = [tuple(map(float, row)) for row in rows]
assert (count, halves, [table.tableId for table in statistics.referencedTables]) == (0, [(0.5, float(y))], ["t"])
count, statistics = ask(
    "merge into a.t using (select 1 as x, 3 as y) as s on t.x = s.x when matched then update set y = s.y"
)
assert (count == 0) == (y == "3") and statistics.numDmlAffectedRows == "1"
"""
    run_in_a_process(_ASK.replace("Y", "2.5") + script, tmp_path / "lake")
    run_in_a_process(_ASK.replace("Y", "3") + script, tmp_path / "lake")


def test_a_statement_is_translated_anew_where_what_it_reads_has_changed(tmp_path: Path) -> None:
    script = """
ask("create schema a")
ask("create table a.t (x int64, y int64)")
ask("create view a.v as select x from a.t")
question = "select x + 1 as y from a.v"
assert ask(question)[0] == 1
assert ask(question)[0] == 0
# Its rows, and what it does not read, do not matter.
ask("insert into a.t (x) values (1)")
ask("create table a.other as select 1 as x")
assert ask(question)[0] == 0
# A view that reads otherwise, a table under it that changes, one that is gone, and one of another type in its place.
for change in (
    "create or replace view a.v as select y as x from a.t",
    "alter table a.t add column z bool",
    "create or replace table a.t as select date '2024-01-01' as x, date '2024-01-01' as y",
):
    ask(change)
    assert ask(question)[0] == 1, change
    assert ask(question)[0] == 0, change
ask("drop view a.v")
try:
    ask(question)
except BigQueryError:
    pass
else:
    raise AssertionError("a view that is gone was read")
"""
    run_in_a_process(_ASK + script, tmp_path)


def test_what_depends_on_more_than_its_text_and_tables_is_never_kept(tmp_path: Path) -> None:
    script = """
import dataclasses
from local_bigquery.sql.translate import Context
ask("create schema a")
ask("create table a.t_1 as select 1 as x")
parameter = {"name": "p", "parameterType": {"type": "INT64"}, "parameterValue": {"value": "1"}}
for question, settings in (
    ("select @p as x", {"queryParameters": [parameter], "parameterMode": "NAMED"}),
    ("select x from `a.t_*`", {}),
    ("select table_name from a.INFORMATION_SCHEMA.TABLES", {}),
    ("select @@project_id as x", {}),
):
    assert ask(question, **settings)[0] == ask(question, **settings)[0] > 0, question
# What a translation is given: whoever adds to it has to say whether translations depend on it.
names = ("attach_postgres", "dataset_id", "functions", "parameters", "position", "project_id", "referenced")
names += ("settings", "system", "temporary", "used", "values", "variables")
assert {field.name for field in dataclasses.fields(Context)} == set(names)
"""
    run_in_a_process(_ASK + script, tmp_path)


@pytest.mark.parametrize("kind", ["no database", "a folder that is not there", "a folder"])
def test_a_file_that_cannot_be_used_keeps_nothing_and_stops_nothing(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "translations.sqlite"
    if kind == "no database":
        file.write_text("not a database, " * 100)
    elif kind == "a folder":
        file.mkdir()
    else:
        file = tmp_path / "absent" / file.name
    before = file.read_bytes() if file.is_file() else None
    translated = 0

    def translate(tree: exp.Expression, _: Context) -> tuple[str, dict[str, Any]]:
        nonlocal translated
        translated += 1
        return tree.sql(), {}

    translations = Translations(file, "code").kept(translate, lambda *_: ())
    context = Context(PROJECT, None)
    assert [translations(parse_one("select 1", into=exp.Select), context)[0] for _ in range(2)] == ["SELECT 1"] * 2
    assert translated == 1
    assert (file.read_bytes() if file.is_file() else None) == before
