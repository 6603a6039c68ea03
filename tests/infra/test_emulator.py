"""What we replace in local-bigquery, beside what it replaces; in processes of their own, which it changes for good."""

import subprocess
import sys
from pathlib import Path

from extract.settings import PROJECT_DIR
from extract.warehouse.notes import last_project_digest, note_build
from tests.conftest import Pipeline


def run_in_a_process(script: str, folder: Path) -> str:
    # Without a file, DuckDB takes the process for a person's session, and draws a progress bar after two seconds.
    script = f"__file__ = 'script.py'\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_our_launcher_is_still_needed(tmp_path: Path) -> None:
    """Red when local-bigquery names the destination of a `create table as` itself: then drop `_with_destination`."""
    script = """
import sys
from pathlib import Path
from local_bigquery.engine import database
from local_bigquery.jobs import query
from local_bigquery.models import JobConfigurationQuery
from local_bigquery.settings import settings
from infra.local.emulator import prepare_extensions
prepare_extensions()
settings.data_dir = Path(sys.argv[1])
config = JobConfigurationQuery(query="create table local.local.t as select 1 as x")
with database.cursor() as cur:
    statistics, _, destination = query.execute(cur, "local", "job", config)
print(statistics.statementType, destination)
"""
    assert run_in_a_process(script, tmp_path) == "CREATE_TABLE_AS_SELECT None"


def test_the_catalogue_answers_as_before(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from local_bigquery.catalog import tables
from local_bigquery.engine import database
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query
from local_bigquery.models import JobConfigurationQuery
from local_bigquery.sql.rules import partitions
from sqlglot import exp

before = database.objects, tables.columns, partitions._hidden
from infra.local import emulator
emulator.open_emulator(Path(sys.argv[1]))
after = database.objects, tables.columns, partitions._hidden
assert after == (emulator.objects, emulator.columns, emulator.is_hidden)

def ask(sql, number=iter(range(999))):
    with database.cursor() as cur:
        query.execute(cur, "local", f"job{next(number)}", JobConfigurationQuery(query=sql))

def answer(function, *arguments):
    try:
        return function(*arguments)
    except BigQueryError as error:
        return str(error)

emulator.RESULTS_KEPT = 5
for number in range(20):
    ask(f"select {number} as x")
assert len(before[0]("emulator", "_results")) == 5
ask("create schema a")
ask("create schema b")
ask("create table a.t (x int64 not null, y string, z struct<p int64, q array<string>>)")
ask("insert into a.t (x) values (1), (2), (3)")
ask("delete from a.t where x = 3")
ask("create table b.t (`y` date)")
ask("create table a.gone as select 1 as x")
ask("drop table a.gone")
ask("create table a.moved (x int64, y int64 not null)")
ask("alter table a.moved drop column x")
ask("create table a.partitioned (x int64) partition by _partitiondate")
ask("create view a.v as select x, y from a.t")
ask("select 1 as x, 'a' as y")
results = "_results"
names = ["t", "v", "gone", "moved", "partitioned", "never"]


def compare():
    for dataset in ("a", "b", "c"):
        places = [("local", dataset, name) for name in names]
        for place in [("local", dataset, None), *places]:
            assert before[0](*place) == after[0](*place), place
        for place in places:
            assert answer(before[1], *place) == answer(after[1], *place), place
            table = exp.table_(place[2], place[1], place[0], quoted=True)
            assert before[2](table) == after[2](table), place
        print(dataset, len(after[0]("local", dataset)))


compare()
job = max(name for name, *_ in before[0]("emulator", results))
for place in (("emulator", results, job), ("emulator", results, "local:never")):
    assert before[0](*place) == after[0](*place), place
place = ("local", results, job.removeprefix("local:"))
assert [(c.name, c.mode) for c in after[1](*place)] == [("x", "NULLABLE"), ("y", "NULLABLE")]
assert before[1](*place) == after[1](*place)
assert [c.mode for c in after[1]("local", "a", "t")] == ["REQUIRED", "NULLABLE", "NULLABLE"]
assert after[2](exp.table_("partitioned", "a", "local", quoted=True))
# What was told is kept no longer than it holds: of a table, its rows, a view that did not change itself, and one gone.
for change in (
    "create or replace view a.v as select * from a.t",
    "alter table a.t add column w bool",
    "insert into a.t (x) values (4)",
    "drop table b.t",
    "create table b.t (x int64 not null) partition by _partitiondate",
):
    ask(change)
    compare()
"""
    *earlier, dropped, again = zip(*[iter(run_in_a_process(script, tmp_path).splitlines())] * 3, strict=True)
    assert {*earlier, again} == {("a 4", "b 1", "c 0")}
    assert dropped == ("a 4", "b 0", "c 0")


def test_a_statement_finds_the_temporary_tables_of_its_own_script_alone(tmp_path: Path) -> None:
    script = """
import inspect, sys
from pathlib import Path
from infra.local import emulator
from local_bigquery.engine import database
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query
from local_bigquery.models import JobConfigurationQuery
# Red when local-bigquery asks in other words, or no more: then correct TEMPORARY_TABLES, or drop FreshCursor.
assert emulator.TEMPORARY_TABLES in inspect.getsource(query.execute)
emulator.open_emulator(Path(sys.argv[1]))

def ask(sql, number=iter(range(9))):
    with database.cursor() as cur:
        _, _, place = query.execute(cur, "local", f"job{next(number)}", JobConfigurationQuery(query=sql))
    return database.fetch(f'select * from emulator."{place.datasetId}"."local:{place.tableId}"')

print(ask("create temp table kept_aside as select 1 as x; select x from kept_aside"))
try:
    ask("select x from kept_aside")
except BigQueryError as error:
    print(error)
"""
    unknown = 'Table "kept_aside" must be qualified with a dataset (e.g. dataset.table).'
    assert run_in_a_process(script, tmp_path).splitlines() == ["[(1,)]", unknown]


def test_a_warehouse_that_was_moved_opens_where_it_lies_now(tmp_path: Path) -> None:
    first, second = (Pipeline(tmp_path / "archive", tmp_path / name) for name in ("first", "second"))
    with first.warehouse() as warehouse:
        warehouse.create_raw()
        note_build(warehouse, "digest", None)
    first.warehouse_dir.rename(second.warehouse_dir)
    with second.warehouse() as warehouse:
        assert last_project_digest(warehouse) == "digest"
    assert not first.warehouse_dir.exists()


def test_a_job_that_a_killed_server_left_running_has_failed_when_the_next_one_starts(tmp_path: Path) -> None:
    opened = """
import sys
from pathlib import Path
from infra.local.emulator import PROJECT, open_emulator
open_emulator(Path(sys.argv[1]))
from local_bigquery.jobs import store
from local_bigquery.models import Job
"""
    left = """
job = {"jobReference": {"projectId": PROJECT, "jobId": "load_1"}, "status": {"state": "RUNNING"},
       "statistics": {"creationTime": "1"}}
store.save(Job.model_validate(job))
"""
    asked = """
status = store.load(PROJECT, "load_1").status
print(status.state, status.errorResult.reason)
"""
    assert run_in_a_process(opened + left, tmp_path) == ""
    assert run_in_a_process(opened + asked, tmp_path) == "DONE stopped"


def test_an_array_without_nulls_has_as_many_values_as_the_limit_allows(pipeline: Pipeline) -> None:
    seven = "select array_agg(y ignore nulls order by y limit 1)[offset(0)] from unnest([cast(null as int64), 7]) as y"
    numbers = "from unnest([4, null, 1, null, 3, 1]) as x"
    asked = {
        "array_agg(x ignore nulls order by x limit 2)": [1, 1],
        "array_agg(x ignore nulls order by x desc limit 2)": [4, 3],
        "array_agg(distinct x ignore nulls order by x limit 2)": [1, 3],
        "array_agg(if(x > 3, x, null) ignore nulls order by x limit 1)": [4],
        "array_agg(x ignore nulls order by x)": [1, 1, 3, 4],
        "array_length(array_agg(x ignore nulls limit 9))": 4,
        f"array_agg(({seven}) ignore nulls order by x limit 2)": [7, 7],
    }
    (found,) = pipeline.query(f"select {', '.join(asked)} {numbers}")
    assert list(found) == list(asked.values())
