"""The real parts, small: an archive in a folder, the embedded warehouse, the real dbt, the real command."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
import structlog

from extract.landing.archive import Archive
from extract.landing.raw_table import RawTable
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse.build import Build, build
from extract.warehouse.connection import Warehouse, open_warehouse
from extract.warehouse.replay import Replay, replay
from infra.local.emulator import THREADS
from infra.local.warehouse import running

# Each worker has servers of its own: the cores are busy without DuckDB's threads.
os.environ.setdefault(THREADS, "1")

# What a replay in another order, or after a crash, has to reproduce row for row: the marts, what scores them, and the
# tables between that are what they are made of. Not here are views with a row for each bar that 250 shares should have,
# which say no more than fct_daily_bars; those of the last days before now; records of runs; and the incremental tables
# in which rows of an action stay that is no longer reported, which nothing joins, or sums of floats in any order.
KEPT_TABLES = (
    "fct_daily_bars",
    "fct_daily_bar_revisions",
    "fct_price_restatements",
    "fct_corporate_actions",
    "fct_adjustment_factors",
    "daily_bars",
    "dim_index_memberships",
    "dim_instruments",
    "dim_trading_sessions",
    "intermediate.int_bars__counted",
    "intermediate.int_break_factors",
    "intermediate.int_corporate_actions__reported",
    "intermediate.int_dividends__converted",
    "intermediate.int_dividends__reconciled",
    "intermediate.int_exchange_records__resolved",
    "intermediate.int_exchange_sessions",
    "intermediate.int_exchange_steps__found",
    "intermediate.int_histories__received",
    "intermediate.int_histories__restated",
    "intermediate.int_kite_dividends__judged",
    "intermediate.int_kite_factors",
    "intermediate.int_scales__merged",
    "intermediate.int_share_events__dated",
    "intermediate.int_share_events__gathered",
    "intermediate.int_share_events__judged",
    "intermediate.int_share_factors",
    "intermediate.int_share_restatements__attached",
    "intermediate.int_source_scales__measured",
    "intermediate.int_suspect_sessions__found",
    "intermediate.int_symbols__served",
    "intermediate.int_symbols__traded",
    "quality.quality_source_agreement",
    "quality.quality_scores_by_symbol",
    "quality.quality_scores_by_session",
)


@dataclass(frozen=True)
class Pipeline:
    """An archive and datasets of one test, with the pipeline's own functions on them."""

    archive_dir: Path
    warehouse_dir: Path
    dataset: str = "trading_data"
    # Where a test compares whole marts after many builds, one of them running dbt's data tests is enough.
    runs_data_tests: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point the command at this test's folders, and at nothing of the user's."""
        users = ("BIGQUERY_", "ARCHIVE_", "WAREHOUSE_", "KITE_", "YAHOO_", "ALPHA_VANTAGE_", "SECRET_MANAGER_", "DBT_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(users)}
        return (
            inherited
            | {
                "WAREHOUSE_DIR": str(self.warehouse_dir),
                "WAREHOUSE_IDLE_SECONDS": "0",
                "ARCHIVE_URI": str(self.archive_dir),
                "BIGQUERY_DATASET": self.dataset,
                "KITE_TOKEN_STORE": str(self.archive_dir.parent / "kite-session.json"),
            }
            | ({} if self.runs_data_tests else {"DBT_RESOURCE_TYPES": "model seed"})
        )

    @property
    def settings(self) -> Settings:
        """The settings that this environment makes."""
        return Settings.from_environment(self.environment)

    @property
    def archive(self) -> Archive:
        """The archive, opened."""
        return Archive(self.settings.archive_uri)

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """The embedded warehouse, running."""
        with open_warehouse(self.settings) as warehouse:
            yield warehouse

    def replay(self, archive: Archive | None = None) -> Replay:
        """Load what raw lacks."""
        with self.warehouse() as warehouse:
            return replay(archive or self.archive, warehouse, lambda *_: None)

    def build(self, *, full_refresh: bool = False) -> Build:
        """Build, and require that every model and test passed."""
        with self.warehouse() as warehouse, patch.dict(os.environ, self.environment):
            built = build(self.settings, warehouse, lambda *_: None, full_refresh=full_refresh)
        assert not built.failed
        return built

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse; ``{d}`` in the statement is the marts' dataset."""
        with self.warehouse() as warehouse:
            rows = warehouse.query(sql.replace("{d}", f"{warehouse.client.project}.{warehouse.dataset}"))
            return [tuple(row.values()) for row in rows]

    def marts(self) -> dict[str, list[str]]:
        """Every row of every kept table, in an order that does not depend on how it came there."""
        kept = {}
        with self.warehouse() as warehouse:
            for table in KEPT_TABLES:
                *schema, name = table.split(".")
                dataset = "_".join([warehouse.dataset, *schema])
                rows = warehouse.query(f"select * from `{warehouse.client.project}.{dataset}.{name}`")
                kept[table] = sorted(repr(sorted(row.items())) for row in rows)
            # Its sums differ in the last digits by the order of the rows; the digest is of rounded ones.
            base = f"{warehouse.client.project}.{warehouse.dataset}_intermediate"
            levels = warehouse.query(f"select digest from `{base}.int_action_evidence__digested` where kind = 'levels'")
            kept["int_kite_levels__measured"] = [row["digest"] for row in levels]
        return kept

    def drop(self) -> None:
        """Drop all datasets, as if there had never been one."""
        with self.warehouse() as warehouse:
            for dataset in list(warehouse.client.list_datasets(timeout=60)):
                if dataset.dataset_id.startswith(self.dataset):
                    warehouse.client.delete_dataset(dataset.reference, delete_contents=True, timeout=60)

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``trading-data`` as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "extract", *arguments],
            env=self.environment | dict(environment or {}),
            cwd=PROJECT_DIR,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def write_bars(archive: Archive, table: RawTable, run_id: str, extracted_at: datetime, *rows: Mapping[str, Any]) -> str:
    """Archive a few rows as one batch; columns that are not given are null."""
    return archive.write(table, pa.Table.from_pylist(list(rows), table.provider_columns), run_id, 0, extracted_at)


@pytest.fixture(autouse=True)
def _quiet_logs() -> None:
    """Take back the logger that a test of the command has pointed at its own standard error."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), cache_logger_on_first_use=False)


@pytest.fixture(scope="session")
def warehouse_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an embedded warehouse that runs for as long as the tests do; a test leaves it empty."""
    folder = tmp_path_factory.mktemp("warehouse")
    with running(folder):
        yield folder


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker who asks for it makes, for all of them to copy."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    made, done = folder / name, folder / f"{name}.done"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            # One that failed is not taken for a whole one.
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            make(made)
            done.touch()
    return made


@pytest.fixture(scope="session")
def empty_marts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a warehouse in which the command built everything from nothing; its report lies beside it."""

    def replay_nothing(folder: Path) -> None:
        done = Pipeline(folder / "archive", folder / "warehouse").command("replay", "--json")
        assert done.returncode == 0, done.stderr[-3000:]
        (folder / "report.json").write_text(done.stdout)

    return made_once(tmp_path_factory, "empty-marts", replay_nothing) / "warehouse"


@contextmanager
def copied(marts: Path, folder: Path) -> Iterator[Path]:
    """Copy a warehouse that nobody uses, and keep the copy running."""
    shutil.copytree(marts, folder, ignore=shutil.ignore_patterns("address", "*.lock"))
    with running(folder):
        yield folder


@pytest.fixture
def built_pipeline(tmp_path: Path, empty_marts: Path) -> Iterator[Pipeline]:
    """A pipeline of this test's own, with an empty archive and empty marts: its builds have a window."""
    with copied(empty_marts, tmp_path / "warehouse") as warehouse_dir:
        yield Pipeline(tmp_path / "archive", warehouse_dir)


@contextmanager
def fresh(archive_dir: Path, warehouse_dir: Path) -> Iterator[Pipeline]:
    """A pipeline in an empty warehouse, which is emptied in the end.

    The datasets always have the same names, so that dbt does not parse the project again for other names, and the
    embedded warehouse has the translations of the statements already.
    """
    made = Pipeline(archive_dir, warehouse_dir)
    try:
        yield made
    finally:
        made.drop()


@pytest.fixture
def pipeline(tmp_path: Path, warehouse_dir: Path) -> Iterator[Pipeline]:
    """A pipeline of this test's own, with an empty archive."""
    with fresh(tmp_path / "archive", warehouse_dir) as made:
        yield made
