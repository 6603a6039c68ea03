"""Google's own analyzer accepts every statement that dbt sends, and can refuse."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

from extract import data
from extract.analysis.statements import MEMBERS
from extract.fetching.holes import DEEP_DAYS, read_holes, session_dates
from extract.fetching.received import (
    Received,
    answered_ranges,
    attempts_of_last_day,
    has_instruments_of,
    open_disputes,
    restated_histories,
    symbols_with_bar,
)
from extract.landing.raw import ALPHA_VANTAGE_DAILY_BARS, KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.reporting.past_runs import TEBIBYTE_PRICE
from extract.reporting.status import read_status
from extract.seeds import EXCHANGE_ZONE, FIRST_DAY, calendar_end, listed_instruments
from extract.settings import PROJECT_DIR
from extract.warehouse.connection import Warehouse
from extract.warehouse.loading import loaded_paths
from extract.warehouse.tables import raw_tables
from tests.conftest import Pipeline, write_bars
from tests.sql.bill import ROWS, billed, bytes_of
from tests.sql.googlesql import (
    Analyzer,
    Complexity,
    Refused,
    analyzer_before_build,
    contract_differences,
    node_of,
    sent_statements,
)
from tests.sql.scans import Reads

RECIPES = PROJECT_DIR / "models" / "marts" / "RECIPES.md"

SYMBOLS = ("ABB", "RELIANCE", "TCS")
SESSIONS = [date(2025, month, day) for month, days in ((6, (24, 25, 26, 27, 30)), (7, (1, 2, 3, 4, 7))) for day in days]
LATER_SESSION = date(2025, 7, 8)

# BigQuery's own limit is not published. Statements of a few hundred table scans are known to be refused; one of 40 is
# far from that, and leaves room for a model that reads two of ours.
MOST_SCANS = 40

# A bound of more days than this is as good as none. The longest that is meant looks for breaks of the scale within 15
# months.
MOST_DAYS = 500

# The scans of large tables by a run that read all of the history, by table and by who sends them, and why they do. Each
# is a cost that grows with the years.
_LEDGER = "a day may have been asked for at any time; half a million rows in two years"
_DIGESTS = "the digests of its rows"
_MEASURED = "a row for each share and month, or less: the last comparison may be of any month"
UNBOUNDED = {
    "trading_data_raw.extract_requests": {
        "read: extract_requests": f"of a backfill alone: {_LEDGER}",
        "read: kite_daily_bars": _LEDGER,
        "read: operations_refetches": _LEDGER,
        "read: operations_verdict": _LEDGER,
    },
    "trading_data_raw.kite_daily_bars": {
        "read: kite_daily_bars": "digests of 1,990 days, holes of any age; raw is partitioned by the day of receipt",
    },
    "trading_data_raw.yahoo_daily_bars": {
        "read: kite_daily_bars": "the same holes",
        "read: yahoo_daily_bars": "the same digests",
    },
    "trading_data_raw.nse_daily_bars": {
        "int_action_evidence__merged": "counts the rows, which BigQuery knows without reading them",
        "read: operations_action_changes": "counts the rows, which BigQuery knows without reading them",
    },
    "trading_data_intermediate.int_exchange_scales__measured": {"fct_daily_bars": _MEASURED},
    "trading_data_intermediate.int_kite_levels__measured": {
        "int_action_evidence__merged": _DIGESTS,
        "int_kite_dividends__judged": _MEASURED,
        "read: operations_action_changes": _DIGESTS,
    },
    "trading_data_intermediate.int_source_scales__measured": {
        "fct_daily_bars": _MEASURED,
        "read: operations_build_window": _MEASURED,
    },
}

# The tags of what a build of a window runs, if the actions are judged in it too.
_MERGING = {"actions", "evidence", "windowed"}


@dataclass(frozen=True)
class SentBuild:
    """One build as the warehouse saw it.

    Attributes:
        is_full: it built everything, and not only a window.
        manifest: dbt's, as it was after the build.
        statements: all that it sent, in order.
        refusals: what the analyzer said to those that it did not accept.
        complexities: of each statement that it accepted, and who sent it.
        reads: what each of these statements reads, and who sent it.
        run_count: how many of the first of them are of the run; the others are of a backfill alone.
        contract_differences: where models do not return what their contracts say.
    """

    is_full: bool
    manifest: dict[str, Any]
    statements: list[str]
    refusals: list[str]
    complexities: list[tuple[str, Complexity]]
    reads: list[tuple[str, Reads]]
    run_count: int
    contract_differences: list[str]

    def models(self, *, materialized: str | None = None) -> set[str]:
        """The ids of the models that this build selects, or of those of one materialization among them."""
        return {
            unique_id
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] == "model"
            and materialized in (None, node["config"]["materialized"])
            and (self.is_full or _MERGING & set(node["config"]["tags"]))
        }

    def tests(self) -> set[str]:
        """The ids of the tests that this build selects: in a window, those of the windowed models."""
        return {
            unique_id
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] == "test"
            and (self.is_full or _MERGING & set(node["tags"]) or self.models() & set(node["depends_on"]["nodes"]))
        }


@dataclass(frozen=True)
class Builds:
    """A full build and an incremental one after it; ``analyzer`` knows all that they made."""

    full: SentBuild
    incremental: SentBuild
    analyzer: Analyzer
    dbt_log: str


def _bars(days: list[date]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": symbol,
            "date": datetime(day.year, day.month, day.day, tzinfo=EXCHANGE_ZONE),
            "open": 100.0,
            "high": 102.0,
            "low": 99.0,
            "close": 101.0,
            "volume": 1000,
        }
        for symbol in SYMBOLS
        for day in days
    ]


def _archive(pipeline: Pipeline, run_id: str, days: list[date]) -> None:
    extracted_at = datetime(days[-1].year, days[-1].month, days[-1].day, tzinfo=UTC) + timedelta(days=1)
    for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS):
        write_bars(pipeline.archive, table, run_id, extracted_at, *_bars(days))
    dividend = {"symbol": "TCS", "date": datetime(2025, 7, 4, tzinfo=EXCHANGE_ZONE), "dividend": 11.0}
    write_bars(pipeline.archive, YAHOO_CORPORATE_ACTIONS, run_id, extracted_at, dividend)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builds]:
    folder: Path = tmp_path_factory.mktemp("googlesql")
    pipeline = Pipeline(archive_dir=folder / "archive", warehouse_dir=folder / "warehouse")
    dbt_dir = pipeline.settings.warehouse_dir / "dbt"
    with pipeline.warehouse() as warehouse:
        analyzer: Analyzer | None = None
        sent = []
        for run_id, days in (("first", SESSIONS), ("second", [LATER_SESSION])):
            _archive(pipeline, run_id, days)
            pipeline.replay()
            since = datetime.now(UTC)
            is_full = pipeline.build().window_start is None
            assert is_full == (run_id == "first")
            _ask_what_a_run_asks(warehouse)
            run_count = len(sent_statements(warehouse.client, since))
            _ask_what_few_runs_ask(warehouse)
            statements = sent_statements(warehouse.client, since)
            manifest = json.loads((dbt_dir / "target" / "manifest.json").read_text())
            analyzer = analyzer or analyzer_before_build(warehouse.client, warehouse.raw, manifest)
            refusals, complexities, read = _analyzed(analyzer, statements)
            differences = contract_differences(analyzer, manifest)
            sent.append(SentBuild(is_full, manifest, statements, refusals, complexities, read, run_count, differences))
        assert analyzer is not None
        full, incremental = sent
        yield Builds(full, incremental, analyzer, (dbt_dir / "logs" / "dbt.log").read_text())


def _ask_what_a_run_asks(warehouse: Warehouse) -> None:
    """What a run asks besides its build, as often as it asks it."""
    now = datetime.now(UTC)
    instruments, sources = listed_instruments(SYMBOLS), ("kite", "yahoo")
    first = LATER_SESSION - timedelta(days=DEEP_DAYS)
    # The plan.
    loaded_paths(warehouse, LATER_SESSION)
    for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS):
        assert symbols_with_bar(warehouse, table, SESSIONS[0], now) == set(SYMBOLS)
    assert read_holes(warehouse, sources, instruments, FIRST_DAY, first) == []
    assert not has_instruments_of(warehouse, now.date())
    assert attempts_of_last_day(warehouse, "alpha_vantage", now) == 0
    open_disputes(warehouse)
    # The answers.
    for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, ALPHA_VANTAGE_DAILY_BARS):
        Received.read(warehouse, table, SYMBOLS, first, LATER_SESSION)
    # The build asks twice which pasts were rewritten.
    for _ in range(2):
        assert restated_histories(warehouse) == {}
    # The report.
    assert read_holes(warehouse, sources, instruments, first, LATER_SESSION) == []
    read_status(warehouse)


def _ask_what_few_runs_ask(warehouse: Warehouse) -> None:
    """What a backfill asks, and a run beyond the calendar of the seeds."""
    assert answered_ranges(warehouse, KITE_DAILY_BARS) == {}
    session_dates(warehouse, LATER_SESSION, calendar_end() + timedelta(days=30))


def _analyzed(
    analyzer: Analyzer, statements: list[str]
) -> tuple[list[str], list[tuple[str, Complexity]], list[tuple[str, Reads]]]:
    refusals = []
    complexities = []
    read = []
    for statement in statements:
        try:
            complexity, reads = analyzer.examine(statement, LATER_SESSION)
        except Refused as refusal:
            refusals.append(f"{refusal}\n{statement}")
        else:
            complexities.append((node_of(statement), complexity))
            read.append((_sender(statement), reads))
    return refusals, complexities, read


def _sender(statement: str) -> str:
    """The model that sent a statement, or that one of our own reads: ``fct_daily_bars``, ``read: data_status``."""
    node = node_of(statement)
    if node != "extract":
        return node.removeprefix("model.trading_data.")
    found = re.search(r"from\s+`[\w-]+\.\w+\.(\w+)`", statement)
    return f"read: {found[1] if found else statement}"


@pytest.fixture(params=["full", "incremental"])
def sent_build(request: pytest.FixtureRequest, builds: Builds) -> SentBuild:
    build: SentBuild = getattr(builds, request.param)
    return build


def test_every_statement_is_accepted(sent_build: SentBuild) -> None:
    assert not sent_build.refusals, "\n\n".join(sent_build.refusals)


def test_what_a_run_asks_is_among_them(sent_build: SentBuild) -> None:
    own = [statement for statement in sent_build.statements if node_of(statement) == "extract"]
    assert sum("where symbol in unnest(@symbols)" in statement for statement in own) == 4
    assert sum("unnest(cast(@listings as array<string>))" in statement for statement in own) >= 1
    assert any("quality_disputes" in statement for statement in own)


def test_no_statement_was_missed(builds: Builds) -> None:
    """Dbt writes each statement into its log before it sends it, through the same connection or not."""
    sent = [text for build in (builds.full, builds.incremental) for text in build.statements if '"app": "dbt"' in text]
    assert len(sent) == builds.dbt_log.count('"app": "dbt"')
    assert not [text for text in sent if text.strip() not in builds.dbt_log]


def test_every_model_and_test_was_seen(sent_build: SentBuild) -> None:
    created = {node_of(text) for text in sent_build.statements if "create or replace" in text}
    assert sent_build.models() <= created
    assert sent_build.tests()
    assert sent_build.tests() <= {node_of(text) for text in sent_build.statements}


def test_incremental_models_were_merged(builds: Builds) -> None:
    def merged(build: SentBuild) -> set[str]:
        return {node_of(text) for text in build.statements if "merge into" in text}

    assert merged(builds.incremental) == builds.incremental.models(materialized="incremental") != set()
    assert merged(builds.full) == set()
    # The window's first day, and not the one that stands for everything.
    bound = re.compile(r"DBT_INTERNAL_DEST\.(trade_date|ex_date|month) >= (date_sub\()?date '20")
    unbounded = {
        node_of(text) for text in builds.incremental.statements if "merge into" in text and not bound.search(text)
    }
    # They have a few rows for each symbol, and no partitions to leave out.
    few = (
        "int_histories__received",
        "int_restatements__measured",
        "int_symbols__served",
        "int_symbols__traded",
    )
    assert unbounded == {f"model.trading_data.{name}" for name in few}


def test_no_statement_is_too_complex_with_its_views_inlined(sent_build: SentBuild) -> None:
    by_scans = sorted(sent_build.complexities, key=lambda sent: sent[1].scans, reverse=True)
    lines = [f"{c.scans:5} {c.joins:5} {c.group_bys:9} {c.windows:7}  {node}" for node, c in by_scans]
    print("\n".join(["scans joins group_bys windows  sent by", *lines]))
    assert not [line for line, (_, c) in zip(lines, by_scans, strict=True) if c.scans > MOST_SCANS]


def _partition_columns(manifest: dict[str, Any]) -> dict[str, str]:
    """The column by which each partitioned table is partitioned: our models' and raw's."""
    models = [node for node in manifest["nodes"].values() if node["config"].get("partition_by")]
    ours = {f"{node['schema']}.{node['name']}": node["config"]["partition_by"]["field"] for node in models}
    raw = {f"{table.dataset_id}.{table.table_id}": table for table in raw_tables("local.trading_data_raw")}
    return ours | {name: str(table.time_partitioning.field) for name, table in raw.items() if table.time_partitioning}


def _days_back(build: SentBuild, reads: Reads) -> dict[str, float | None]:
    """How many days of each partitioned table a statement reads; None for all: one scan without a bound reads all."""
    columns = _partition_columns(build.manifest)
    days: dict[str, list[float | None]] = {}
    for scan in reads.scans:
        if scan.table in columns:
            days.setdefault(scan.table, []).append(scan.bounds.get(columns[scan.table]))
    return {
        table: None if None in each else max(map(float, filter(None, each)), default=0.0)
        for table, each in days.items()
    }


def _unbounded(build: SentBuild) -> set[tuple[str, str]]:
    return {
        (sender, table)
        for sender, reads in build.reads
        for table, days in _days_back(build, reads).items()
        if table in ROWS and (days is None or days > MOST_DAYS)
    }


def test_a_run_reads_no_large_table_without_a_constant_bound(builds: Builds) -> None:
    build = builds.incremental
    assert _unbounded(build) == {(sender, table) for table, senders in UNBOUNDED.items() for sender in senders}
    # Everything else that is partitioned is small, or has its size in ROWS.
    assert ROWS.keys() <= _partition_columns(build.manifest).keys()


def test_a_bound_that_is_taken_out_is_missed(builds: Builds) -> None:
    build = builds.incremental
    table = "trading_data.fct_daily_bars"
    merge = next(s for s in build.statements if node_of(s).endswith(".fct_daily_bars") and "merge into" in s)
    bound = re.compile(r"DBT_INTERNAL_DEST\.trade_date >= date '20[\d-]+'")
    for replacement, days in (
        (None, 7.0),
        ("true", None),
        ("DBT_INTERNAL_DEST.trade_date >= DBT_INTERNAL_SOURCE.trade_date", None),
        ("DBT_INTERNAL_DEST.trade_date >= (select min(trade_date) from local.trading_data.daily_bars)", None),
        ("DBT_INTERNAL_DEST.trade_date >= date '2010-01-01'", 5667.0),
    ):
        changed = bound.sub(replacement, merge) if replacement else merge
        assert (changed != merge) == bool(replacement)
        _, reads = builds.analyzer.examine(changed, LATER_SESSION)
        target, *_ = reads.scans
        assert (target.table, target.bounds.get("trade_date")) == (table, days)


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("select x from bars where day >= '2025-07-01'", [7.0]),
        ("select x from bars where timestamp(day) >= '2025-07-01'", [None]),
        ("select x from bars where day >= date_sub(current_date(), interval 3 day) and x > 0", [3.0]),
        ("select x from bars where day >= '2025-07-01' or x = 1", [None]),
        ("select x from bars where day >= (select max(day) from bars)", [None, None]),
        (
            "with old as (select day as d from bars) select d from old where d between '2025-07-01' and '2025-07-02'",
            [7.0],
        ),
        ("select x from (select * from bars union all select * from bars) where day >= '2025-07-01'", [7.0, 7.0]),
        ("select d from (select day as d, max(x) as x from bars group by d) where d >= '2025-07-01'", [7.0]),
        ("select d from (select x, max(day) as d from bars group by x) where d >= '2025-07-01'", [None]),
        (
            "select 1 from (select day, rank() over (partition by day order by x) from bars) where day >= '2025-07-01'",
            [7.0],
        ),
        ("select 1 from (select day, rank() over (order by day) from bars) where day >= '2025-07-01'", [None]),
        ("select a.x from bars as a inner join bars as b on a.x = b.x and a.day >= '2025-07-01'", [7.0, None]),
        ("select a.x from bars as a left join bars as b on a.x = b.x and a.day >= '2025-07-01'", [None, None]),
        ("select a.x from bars as a left join bars as b on a.x = b.x and b.day >= '2025-07-01'", [None, 7.0]),
        ("select a.x from bars as a left join bars as b on a.x = b.x where a.day >= '2025-07-01'", [7.0, None]),
        ("select a.x from bars as a inner join bars as b on a.day = b.day where a.day >= '2025-07-01'", [7.0, None]),
    ],
)
def test_only_a_constant_that_reaches_the_scan_is_a_bound(query: str, days: list[float | None]) -> None:
    analyzer = Analyzer("local")
    analyzer.declare("local.marts.kept", {"x": "int64", "day": "date", "unread": "string"})
    analyzer.analyze("create view `local`.`marts`.`bars` as select *, x + 1 as y from `local.marts.kept`")
    _, reads = analyzer.examine(query.replace(" bars", " `local.marts.bars`"), LATER_SESSION)
    assert [scan.bounds.get("day") for scan in reads.scans] == days
    assert "unread" not in reads.columns["marts.kept"]


def _bytes_of_run(build: SentBuild, history: int) -> tuple[int, int, int]:
    """The bytes that a run reads, what it is billed, and what of that is not for the scans of ``UNBOUNDED``."""
    read, bill, bounded = 0, 0, 0
    unbounded = _unbounded(build)
    for sender, reads in build.reads[: build.run_count]:
        of_tables = bytes_of(reads, _days_back(build, reads), history)
        read += sum(of_tables.values())
        bill += billed(of_tables.values())
        bounded += billed(count for table, count in of_tables.items() if (sender, table) not in unbounded)
    return read, bill, bounded


def test_the_bill_hardly_grows_with_the_history(builds: Builds) -> None:
    (_, one, one_bounded), (_, four, four_bounded) = (_bytes_of_run(builds.incremental, history) for history in (1, 4))
    assert four_bounded <= 1.1 * one_bounded
    assert four <= 1.15 * one


def test_the_operators_book_has_the_bill(builds: Builds) -> None:
    rows = {}
    for history in (1, 4, 10):
        read, bill, _ = _bytes_of_run(builds.incremental, history)
        month = 60 * bill
        price = max(month - 2**40, 0) * TEBIBYTE_PRICE / 2**40
        rows[history] = (
            f"| {history * 1.17:.2f} million | {read / 1e9:.1f} GB | {bill / 1e9:.1f} GB | {month / 1e9:,.0f} GB |"
            f" {price:.2f} |"
        )
    book = (PROJECT_DIR / "infra" / "README.md").read_text()
    assert [row for row in rows.values() if row not in book] == [], rows


def test_models_return_what_their_contracts_say(sent_build: SentBuild) -> None:
    assert not sent_build.contract_differences, "\n".join(sent_build.contract_differences)


def test_a_contract_of_another_type_or_column_is_reported(builds: Builds) -> None:
    model = "model.trading_data.daily_bars"
    manifest = copy.deepcopy(builds.full.manifest)
    columns = manifest["nodes"][model]["columns"]
    columns["failed_checks"]["data_type"] = "string"
    columns["daily_return"]["data_type"] = "numeric"
    del columns["volume"]
    assert contract_differences(builds.analyzer, manifest) == [
        f"{model}: daily_return is float64, its contract says numeric",
        f"{model}: failed_checks is array<string>, its contract says string",
        f"{model}: volume is int64, its contract says absent",
    ]


@pytest.mark.parametrize(
    ("model", "text", "replacement", "words"),
    [
        # A column that is not there.
        ("stg_kite__daily_bars", "safe_cast(open as", "safe_cast(opening as", "Unrecognized name: opening"),
        # DuckDB's function.
        (
            "stg_yahoo__daily_bars",
            "date(date, 'Asia/Kolkata')",
            "strftime(date, '%Y-%m-%d')",
            "Function not found: strftime",
        ),
        # DuckDB's name of a type.
        ("stg_yahoo__corporate_actions", "dividend as numeric", "dividend as double", "Type not found: double"),
        # One column of two types in a union.
        ("int_bars__unioned", "volume,", "cast(volume as string) as volume,", "UNION ALL has incompatible types"),
        # A window function before the rows are chosen.
        ("int_third_opinions__deduplicated", "qualify", "where", "Analytic function not allowed in WHERE clause"),
        # An alias that no table has.
        ("int_bars__compared", "= instruments.symbol", "= instrument.symbol", "Unrecognized name: instrument"),
        # A date compared with a text.
        (
            "dim_trading_sessions",
            "weekdays.day = trading_holidays.closed_on",
            "weekdays.day = cast(trading_holidays.closed_on as string)",
            "No matching signature for operator = for argument types: DATE, STRING",
        ),
        # A column that is neither grouped nor aggregated.
        ("quality_scores_by_session", "group by trade_date", "", "neither grouped nor aggregated"),
        # An argument of the wrong type.
        ("quality_bar_checks", "unnest(bars.failed_checks)", "unnest(bars.symbol)", "must be an array but was STRING"),
        # An outer join by a range alone.
        (
            "dim_trading_sessions",
            "weekdays.day = trading_holidays.closed_on",
            "weekdays.day >= trading_holidays.closed_on",
            "a left join without an equality of fields from both of its sides",
        ),
        # A merge into a column that the table has not.
        ("fct_daily_bars", "update set\n        `symbol` =", "update set `symbool` =", "Unrecognized name: symbool"),
    ],
)
def test_a_mistake_in_a_model_is_refused_by_name(
    builds: Builds, model: str, text: str, replacement: str, words: str
) -> None:
    model = f"model.trading_data.{model}"
    sent = [*builds.full.statements, *builds.incremental.statements]
    right = next(statement for statement in sent if node_of(statement) == model and text in statement)
    builds.analyzer.analyze(right)
    wrong = right.replace(text, replacement, 1)
    assert wrong != right
    with pytest.raises(Refused) as refusal:
        builds.analyzer.analyze(wrong)
    assert refusal.value.node == model
    assert str(refusal.value).startswith(model)
    assert words in refusal.value.reason


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("select [1] = [1]", "Equality is not defined for arguments of type ARRAY<INT64>"),
        ("create table local.nowhere.bars (symbol string)", "Dataset not found: local.nowhere"),
        ("alter table local.trading_data.daily_bars add column mood string", "does not know"),
        ("begin; select 1; end", "Syntax error"),
    ],
)
def test_what_is_not_bigquery_or_not_known_is_never_passed_over(builds: Builds, statement: str, words: str) -> None:
    with pytest.raises(Refused, match=r"^extract: ") as refusal:
        builds.analyzer.analyze(statement)
    assert words in refusal.value.reason


def test_what_is_dropped_cannot_be_read() -> None:
    analyzer = Analyzer("local")
    analyzer.declare("local.marts.bars", {"symbol": "string", "closes": "array<numeric>"})
    assert analyzer.columns("select * from `local.marts.bars`") == {"symbol": "string", "closes": "array<numeric>"}
    analyzer.analyze("create or replace view `local`.`marts`.`names` as select symbol as name from `local.marts.bars`")
    assert analyzer.columns("select * from `local`.`marts`.`names`") == {"name": "string"}
    analyzer.analyze("drop table `local`.`marts`.`bars`")
    with pytest.raises(Refused, match="Table not found"):
        analyzer.columns("select * from `local.marts.bars`")


@pytest.mark.parametrize(
    ("condition", "is_accepted"),
    [
        ("old.x = fresh.x", True),
        ("old.y > fresh.y and old.x = fresh.x", True),
        ("coalesce(old.x, 0) = fresh.x + 1", True),
        ("old.x > fresh.x", False),
        ("old.x = fresh.x or old.y = fresh.y", False),
        ("old.x = 1 and fresh.x = 1", False),
        ("old.x - fresh.x = 0", False),
        ("old.x = old.y", False),
    ],
)
@pytest.mark.parametrize("kind", ["left", "right", "full"])
def test_an_outer_join_needs_an_equality_of_both_sides(kind: str, condition: str, is_accepted: bool) -> None:
    analyzer = Analyzer("local")
    analyzer.declare("local.marts.bars", {"x": "int64", "y": "int64"})
    bars = "`local.marts.bars`"
    statement = f"select 1 from (select 1 from {bars} as old {kind} join {bars} as fresh on {condition})"
    if is_accepted:
        analyzer.analyze(statement)
    else:
        with pytest.raises(Refused, match=f"a {kind} join without an equality"):
            analyzer.analyze(statement)
    analyzer.analyze(statement.replace(f"{kind} join", "inner join"))


def test_a_view_and_a_cte_count_as_often_as_they_are_read() -> None:
    analyzer = Analyzer("local")
    analyzer.declare("local.marts.bars", {"symbol": "string", "close": "float64"})
    means = analyzer.analyze(
        "create view `local`.`marts`.`means` as"
        " with m as (select symbol, avg(close) as close from `local.marts.bars` group by symbol)"
        " select m.symbol, rank() over (order by other.close) as place from m left join m as other using (symbol)"
    )
    assert means == Complexity(scans=2, joins=1, group_bys=2, windows=1)
    twice = "select a.symbol from `local.marts.means` as a where a.symbol in (select symbol from `local.marts.means`)"
    assert analyzer.analyze(twice) == means + means
    analyzer.analyze("create or replace table `local`.`marts`.`means` as select symbol from `local.marts.bars`")
    assert analyzer.analyze(twice) == Complexity(scans=2)


class _Asked(Exception):
    """The statement that the module for Python would have sent."""


def _analysts_statements() -> list[str]:
    """What the recipes ask, and what each function of extract.data does."""

    def ask(_: object, sql: str) -> NoReturn:
        raise _Asked(sql)

    statements = re.findall(r"```sql\n(.*?)```", RECIPES.read_text(), re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "read", ask)
        patch.setattr(data, "_warehouse", cache(lambda _: None))
        calls: list[Callable[[], object]] = [
            lambda: data.bars("TCS", "2025-06-01", adjusted=False),
            lambda: data.bars("TCS", as_of="2025-07-01"),
            lambda: data.bars(as_of="2025-07-01", adjusted=False),
            lambda: data.actions("TCS", end="2025-07-01", as_of="2025-07-01"),
            data.universe,
            lambda: data.universe("NIFTY 500"),
        ]
        for call in calls:
            with pytest.raises(_Asked) as asked:
                call()
            statements.append(str(asked.value))
    return [*statements, MEMBERS.format(name="NIFTY 500", day="2025-07-01")]


def test_what_analysts_ask_is_accepted(builds: Builds) -> None:
    marts = "|".join(path.stem for path in RECIPES.parent.glob("*.sql"))
    named = re.compile(rf"\b(from|join) (?:({marts})\b|(trading_data_\w+))")
    statements = [
        named.sub(lambda m: f"{m[1]} local.{m[3] or f'trading_data.{m[2]}'}", sql) for sql in _analysts_statements()
    ]
    assert len(statements) == 14
    refusals, *_ = _analyzed(builds.analyzer, statements)
    assert refusals == []
