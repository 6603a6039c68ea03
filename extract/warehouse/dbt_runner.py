"""Run dbt on this project, in this process, against a warehouse."""

import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from extract.errors import PipelineError, told_of_system
from extract.settings import PROJECT_DIR
from extract.warehouse.connection import Warehouse

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt_common.events.base_types import EventMsg

# The environment variables that macros/window_start.sql reads.
WINDOW_VARIABLES = ("WINDOW_START", "DEEP_WINDOW_START", "DEEP_WINDOW_SYMBOLS")


def preload_dbt() -> None:
    """Import dbt in the background: it takes seconds, in which the warehouse starts."""
    threading.Thread(target=importlib.import_module, args=("dbt.cli.main",), daemon=True).start()


def invoke_dbt(
    arguments: list[str], variables: dict[str, str], warehouse: Warehouse, *listeners: "Callable[[EventMsg], None]"
) -> "dbtRunnerResult":
    """Run dbt on this project.

    Raises:
        PipelineError: it could not start.
        KeyboardInterrupt: the command was stopped while it ran.
    """
    from dbt.cli.main import dbtRunner

    project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
    project += ["--target", "local" if warehouse.address else "cloud"]
    with _environment(warehouse, variables):
        result = dbtRunner(callbacks=list(listeners)).invoke(
            ["--log-level", "none", "--log-level-file", "debug", *arguments, *project]
        )
    if isinstance(result.exception, KeyboardInterrupt):
        # dbt reports Ctrl-C as an exception of another class than KeyboardInterrupt.
        raise result.exception
    if result.exception is not None:
        error = result.exception
        told = told_of_system(error) if isinstance(error, OSError) else str(error)
        raise PipelineError(f"dbt could not run: {told}") from error
    return result


@contextmanager
def _environment(warehouse: Warehouse, variables: dict[str, str]) -> Iterator[None]:
    """Tell dbt the warehouse and the window by environment variables; afterwards restore these and the root logger."""
    settings = variables | {"BIGQUERY_DATASET": warehouse.dataset, "BIGQUERY_LOCATION": warehouse.location}
    if warehouse.address:
        settings["BIGQUERY_EMULATOR_HOST"] = warehouse.address
    before = dict(os.environ)
    handlers, raises = logging.getLogger().handlers[:], logging.raiseExceptions
    # Where dbt cannot write its log, the log's errors would hide ours.
    logging.raiseExceptions = False
    for variable in (*WINDOW_VARIABLES, "EXPECTED_SYMBOLS"):
        os.environ.pop(variable, None)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        logging.getLogger().handlers[:], logging.raiseExceptions = handlers, raises
