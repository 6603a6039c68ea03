"""dbt's documentation of the models."""

import warnings
from pathlib import Path

from extract.errors import PipelineError
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse.connection import Warehouse, require_marts
from extract.warehouse.dbt_runner import invoke_dbt


def document(settings: Settings, warehouse: Warehouse) -> Path:
    """Write dbt's documentation, with the lineage graph and the columns in the warehouse; return its page's path.

    The page is a single file, alone in its folder, and loads nothing from other hosts.

    Raises:
        PipelineError: nothing was built yet, or the warehouse or dbt failed.
    """
    require_marts(warehouse)
    # In a folder of its own, because a build may be under way in the other one.
    folder = (settings.warehouse_dir / "dbt" if settings.is_embedded else PROJECT_DIR / "target") / "docs"
    arguments = ["docs", "generate", "--static", "--target-path", str(folder)]
    if settings.is_embedded:
        arguments += ["--log-path", str(settings.warehouse_dir / "dbt" / "logs")]
    with warnings.catch_warnings():
        # dbt warns that it misses the owner of a table, which BigQuery's catalogue does not have.
        warnings.filterwarnings("ignore", '"table_owner"', RuntimeWarning)
        result = invoke_dbt(arguments, {}, warehouse)
    if not result.success:
        reason = getattr(result.result, "errors", None) or "a model does not compile"
        raise PipelineError(f"dbt could not write its documentation: {reason}")
    page = folder / "page" / "index.html"
    page.parent.mkdir(exist_ok=True)
    return (folder / "static_index.html").replace(page)
