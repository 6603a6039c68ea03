"""Run dbt: over the batches that the marts lack, or over everything if the models have changed."""

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import structlog

from extract.errors import PipelineError
from extract.settings import PROJECT_DIR, Settings
from extract.symbols import meant
from extract.warehouse.connection import Warehouse
from extract.warehouse.dbt_runner import WINDOW_VARIABLES, invoke_dbt
from extract.warehouse.notes import last_project_digest, note_build, note_merged, unmerged_batches

if TYPE_CHECKING:
    from dbt_common.events.base_types import EventMsg

_log = structlog.get_logger()

# The models that keep rows between builds. If one is missing, a build of a window would leave its past empty.
INCREMENTAL_MODELS = (
    "fct_daily_bar_revisions",
    "fct_daily_bars",
    "int_bars__counted",
    "int_dividends__priced",
    "int_exchange_days__counted",
    "int_exchange_scales__measured",
    "int_exchange_steps__measured",
    "int_histories__received",
    "int_kite_levels__measured",
    "int_restatements__measured",
    "int_scale_breaks__found",
    "int_sessions__judged",
    "int_share_events__measured",
    "int_source_scales__measured",
    "int_symbols__served",
    "int_symbols__traded",
)

# A test of a model returns one row for each broken rule; there are only a few rules.
_ROWS_OF_A_FAILED_TEST = 5

# A change of the calendar changes how the sessions up to ten days before it are judged.
_AROUND_SESSION = timedelta(days=10)

# The views that say what to merge, and whether to judge the corporate actions again.
_WINDOW = "operations_build_window"
_CHANGES = "operations_action_changes"

# What is measured of prices by the factors of the actions, and all that is judged by it.
_MEASURED_BY_FACTORS = "tag:actions,int_kite_levels__measured+ tag:actions,int_scale_breaks__found+"


@dataclass(frozen=True, slots=True)
class Window:
    """What a build merges.

    Attributes:
        start: the first trade date for every symbol.
        deep_start: the first trade date for the few symbols whose past has changed.
        deep_symbols: these symbols.
        has_unmeasured_actions: whether an action was reported whose prices no build has examined.
        has_changed_actions: whether the evidence for the actions has changed since they were judged.
    """

    start: date
    deep_start: date
    deep_symbols: list[str]
    has_unmeasured_actions: bool
    has_changed_actions: bool

    def and_of(self, other: "Window") -> "Window":
        """This window, reaching back as far as another one does too."""
        return replace(
            self,
            start=min(self.start, other.start),
            deep_start=min(self.deep_start, other.deep_start),
            deep_symbols=sorted({*self.deep_symbols, *other.deep_symbols}),
        )

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that macros/window_start.sql reads."""
        bounds = (self.start.isoformat(), self.deep_start.isoformat(), ",".join(self.deep_symbols))
        return dict(zip(WINDOW_VARIABLES, bounds, strict=True))


@dataclass(slots=True)
class Build:
    """The result of a build.

    Attributes:
        window_start: the first trade date of the window, of any symbol, even if there was nothing to build; None if
            everything was built.
        merged_batches: the number of batches that the build merged into the marts.
        passed: the number of dbt nodes (models, seeds, tests) that passed.
        failed: the dbt nodes that did not pass, as (name, dbt's message).
        bytes_processed: the bytes that BigQuery read for the models and seeds.
        bytes_billed: the bytes that BigQuery bills for that.
    """

    window_start: date | None
    merged_batches: int
    passed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    bytes_processed: int = 0
    bytes_billed: int = 0


def build(  # noqa: C901 The steps of a build in their order.
    settings: Settings,
    warehouse: Warehouse,
    progress: Callable[[int, int], None],
    *,
    full_refresh: bool = False,
    refetch: Callable[[], bool] = lambda: False,
) -> Build:
    """Run ``dbt build`` over the window of the unmerged batches, and note them as merged.

    Everything is built if nothing was built before, or if a model, macro or seed has changed since. Nothing is built
    if every batch is already in the marts.

    Args:
        settings: where dbt keeps its files.
        warehouse: where it builds.
        progress: called after each dbt node with the number of nodes that are done, and their total.
        full_refresh: build everything, whatever has changed.
        refetch: called when the new bars are built, before the actions are judged by them. It loads what must come
            before that, and returns whether anything came; the bars are built again then.

    Raises:
        PipelineError: the warehouse failed, or dbt could not start. The next build merges the same batches again.
    """
    warehouse.create_raw()
    # Read before dbt starts: a batch that is loaded meanwhile is left for the next build.
    merged = unmerged_batches(warehouse)
    expected = _expected_symbols(settings)
    digest = _project_digest(expected)
    window = None if full_refresh else _window(warehouse, digest)
    outcome = Build(min(window.start, window.deep_start) if window else None, len(merged))
    # Unit tests check a commit and not a day's data; `make test` runs them.
    arguments = ["build", "--exclude-resource-type", "unit_test"]
    if settings.is_embedded:
        arguments += ["--target-path", str(settings.warehouse_dir / "dbt" / "target")]
        arguments += ["--log-path", str(settings.warehouse_dir / "dbt" / "logs")]

    def run(window: Window | None, *selected: str) -> Window | None:
        variables = expected | (window.variables if window else {})
        _run_dbt([*arguments, *selected], variables, warehouse, outcome, progress)
        return None if window is None or outcome.failed else _open_window(warehouse)

    evidence = ["tag:actions", "tag:evidence"]
    # Models without a tag are views and tables of seeds: they stay as the last full build left them.
    if window is None:
        run(None, "--full-refresh")
    elif not window.has_changed_actions:
        # On most evenings only bars came. But bars can show an action, or be the first ones on or after an ex-date:
        # so whether the actions must be judged is read again after this step. If no batch came, nothing is built.
        window = run(window, "--select", "tag:bars") if merged else None
        if window and refetch():
            merged = unmerged_batches(warehouse)
            outcome.merged_batches = len(merged)
            window = _open_window(warehouse)
            outcome.window_start = min(outcome.window_start or window.start, window.start, window.deep_start)
            window = run(window, "--select", "tag:bars")
        evidence = ["tag:actions"]
    if window and window.has_changed_actions:
        # The corporate actions come first: if they change the scale of a share, all its bars are merged again.
        judged = run(window, "--select", *evidence)
        if judged:
            # If a build before this one died, it may have merged bars by evidence that is now withdrawn.
            window = judged.and_of(window)
            outcome.window_start = min(outcome.window_start or window.start, window.start, window.deep_start)
            selected = ["tag:windowed"]
            if window.has_unmeasured_actions:
                # An action of an older day was reported whose prices no build has examined: judge all actions again.
                selected.append("tag:actions")
            elif window.deep_symbols:
                # The factors of some shares have changed: measure their past again by the new ones, and judge by that.
                selected.append(_MEASURED_BY_FACTORS)
            run(window, "--select", *selected)
    if not outcome.failed:
        note_merged(warehouse, merged)
        note_build(warehouse, digest, outcome.window_start)
    return outcome


def _expected_symbols(settings: Settings) -> dict[str, str]:
    """The environment variable that models/marts/dim_instruments.sql reads; empty if all symbols are expected."""
    if settings.symbols.upper() == "ALL":
        return {}
    return {"EXPECTED_SYMBOLS": ",".join(sorted(i.symbol for i in meant(settings.symbols).instruments))}


def _project_digest(expected: dict[str, str]) -> str:
    """A digest of what determines the marts: the files and variables of the dbt project, and the expected symbols.

    Files with descriptions count too, because a full build writes the descriptions into the warehouse.
    """
    files = [PROJECT_DIR / "dbt_project.yml"]
    for folder in ("models", "macros", "seeds"):
        for suffix in ("csv", "md", "sql", "yml"):
            # Like dbt, skip the temporary files that editors and file managers leave beside a file.
            files += (PROJECT_DIR / folder).rglob(f"[!.#~]*.{suffix}")
    digest = hashlib.sha256(",".join(expected.values()).encode())
    for path in sorted(files):
        digest.update(f"{path.relative_to(PROJECT_DIR)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _window(warehouse: Warehouse, project_digest: str) -> Window | None:
    """The window to merge; None if the marts do not exist, or were built by another version of the project."""
    dataset = warehouse.dataset
    datasets = {"int": f"{dataset}_intermediate", "fct": dataset}
    # These tables hold the evidence of the last merge. Without them, nobody can tell what has changed since.
    made_by = ("int_action_evidence", "int_scales", "int_suspect_sessions", "int_trading_sessions")
    kept = (*INCREMENTAL_MODELS, *(f"{model}__merged" for model in made_by))
    needed = [f"{datasets[model.split('_')[0]]}.{model}" for model in kept]
    needed += [f"{dataset}_operations.{view}" for view in (_WINDOW, _CHANGES)]
    if last_project_digest(warehouse) != project_digest or not all(warehouse.exists(table) for table in needed):
        return None
    return _open_window(warehouse)


def _open_window(warehouse: Warehouse) -> Window:
    operations = f"{warehouse.client.project}.{warehouse.dataset}_operations"
    (row,) = warehouse.query(f"select * from `{operations}.{_WINDOW}`")
    (changes,) = warehouse.query(f"select * from `{operations}.{_CHANGES}`")
    symbols = row["deep_window_symbols"]
    start = row["window_start"]
    if changed := changes["first_changed_session"]:
        # The bars of all symbols are chosen again, from a month on that holds what the session's bars are judged by.
        start = min(start, (changed - _AROUND_SESSION).replace(day=1))
    return Window(
        start,
        row["deep_window_start"],
        symbols.split(",") if symbols else [],
        row["has_unmeasured_actions"],
        row["has_unmeasured_actions"] or any(changes.values()),
    )


def _run_dbt(
    arguments: list[str],
    variables: dict[str, str],
    warehouse: Warehouse,
    outcome: Build,
    progress: Callable[[int, int], None],
) -> None:
    # Imported here, because the import takes seconds, and `status` and `query` do not need it.
    from dbt.artifacts.schemas.run import RunExecutionResult

    ended = itertools.count(1)

    def listen(event: "EventMsg") -> None:
        if event.info.name in ("LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult"):
            # Events of tests have their total in another field than those of models.
            # Nodes end in another order than they begin, and their index is that of their beginning.
            progress(next(ended), getattr(event.data, "total", 0) or event.data.num_models)
            node = event.data.node_info
            _log.info("dbt node finished", node=node.unique_id, status=node.node_status)

    result = invoke_dbt(arguments, variables, warehouse, listen)
    assert isinstance(result.result, RunExecutionResult)
    for node in result.result.results:
        # The adapter reports bytes for models and seeds, but not for tests.
        outcome.bytes_processed += node.adapter_response.get("bytes_processed") or 0
        outcome.bytes_billed += node.adapter_response.get("bytes_billed") or 0
        if node.status in ("success", "pass"):
            outcome.passed += 1
        elif node.status in ("error", "fail", "runtime error", "warn", "skipped"):
            reason = node.message or str(node.status)
            if node.status == "fail":
                reason += _returned_rows(warehouse, str(getattr(node.node, "compiled_code", "")))
            outcome.failed.append((node.node.name, reason))
            _log.error("dbt node failed", node=node.node.unique_id, status=str(node.status), reason=reason)


def _returned_rows(warehouse: Warehouse, test: str) -> str:
    """The first rows that a failed test returns, which say what is wrong; dbt reports only their number."""
    try:
        rows = [dict(row) for row in warehouse.query(f"select * from (\n{test}\n) limit {_ROWS_OF_A_FAILED_TEST}")]
    except PipelineError as error:
        return f"; {error}"
    return "".join(f"; {', '.join(f'{name}: {value}' for name, value in row.items())}" for row in rows)
