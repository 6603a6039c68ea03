"""Run dbt once over what the marts have not seen yet."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import structlog

from extract.errors import PipelineError
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse import Warehouse

_log = structlog.get_logger()

# The models that keep rows between builds. Where one is missing, a window would leave its past empty.
INCREMENTAL_MODELS = ("fct_daily_bars", "int_source_scales__measured")


@dataclass(slots=True)
class Build:
    """What a build did.

    Attributes:
        window_start: the first trade date that was merged; None when everything was.
        merged_batches: batches that the marts now hold and did not before.
        passed: dbt nodes (models, seeds, tests) that passed.
        failed: dbt nodes that did not, as (name, what dbt says).
    """

    window_start: date | None
    merged_batches: int
    passed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def build(
    settings: Settings,
    warehouse: Warehouse,
    progress: Callable[[int, int], None],
    *,
    full_refresh: bool = False,
) -> Build:
    """Run ``dbt build`` with the window that the unmerged batches ask for, and note them as merged.

    Args:
        settings: where dbt keeps its files.
        warehouse: where it builds.
        progress: is told, after each dbt node, how many are done, and how many there are.
        full_refresh: drop the incremental models and build everything anew: after a change to a seed or a model.

    Raises:
        PipelineError: the warehouse failed, or dbt could not start. The next build takes the same batches in again.
    """
    warehouse.create_raw()
    # Asked before dbt starts: a batch that another process loads meanwhile is left for the next build.
    merged = warehouse.unmerged_batches()
    window_start = None if full_refresh else _window_start(warehouse)
    outcome = Build(window_start, len(merged))
    arguments = ["build", "--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
    if full_refresh:
        arguments.append("--full-refresh")
    if window_start:
        arguments += ["--vars", json.dumps({"window_start": window_start.isoformat()})]
    if settings.is_embedded:
        arguments += ["--target-path", str(settings.warehouse_dir / "dbt" / "target")]
        arguments += ["--log-path", str(settings.warehouse_dir / "dbt" / "logs")]
    _run_dbt(arguments, warehouse, outcome, progress)
    if not outcome.failed:
        warehouse.note_batches("merged", ((path, None) for path in merged))
    return outcome


def _window_start(warehouse: Warehouse) -> date | None:
    dataset = warehouse.dataset
    window = f"{dataset}_operations.operations_build_window"
    datasets = {"fct_daily_bars": dataset, "int_source_scales__measured": f"{dataset}_intermediate"}
    needed = [*(f"{datasets[model]}.{model}" for model in INCREMENTAL_MODELS), window]
    if not all(warehouse.exists(table) for table in needed):
        return None
    (row,) = warehouse.query(f"select window_start from `{warehouse.client.project}.{window}`")
    start: date = row["window_start"]
    return start


def _run_dbt(
    arguments: list[str], warehouse: Warehouse, outcome: Build, progress: Callable[[int, int], None]
) -> None:
    # Imported here, because it takes seconds that `status` and `query` need not spend.
    from dbt.cli.main import dbtRunner
    from dbt_common.events.base_types import EventMsg

    def listen(event: EventMsg) -> None:
        if event.info.name in ("LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult"):
            # Tests name their total otherwise than models do.
            progress(event.data.index, getattr(event.data, "total", 0) or event.data.num_models)

    with _environment(warehouse):
        result = dbtRunner(callbacks=[listen]).invoke(["--quiet", *arguments])
    if result.exception is not None:
        raise PipelineError(f"dbt could not run: {result.exception}") from result.exception
    for node in result.result or ():
        if node.status in ("success", "pass"):
            outcome.passed += 1
        elif node.status in ("error", "fail", "runtime error", "warn", "skipped"):
            outcome.failed.append((node.node.name, node.message or str(node.status)))
            _log.error("dbt node failed", node=node.node.unique_id, status=str(node.status), reason=node.message)


@contextmanager
def _environment(warehouse: Warehouse) -> Iterator[None]:
    """Tell dbt, which reads profiles.yml, where the warehouse is; and give it the root logger for as long as it runs."""
    settings = {"BIGQUERY_DATASET": warehouse.dataset, "BIGQUERY_LOCATION": warehouse.location}
    if warehouse.address:
        settings["BIGQUERY_EMULATOR_HOST"] = warehouse.address
    before = dict(os.environ)
    handlers = logging.getLogger().handlers[:]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        logging.getLogger().handlers[:] = handlers
