"""The block of Python on the first page, run as it stands in a warehouse that has the demo's lists of an index."""

import ast
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from extract.files.take import take_files
from extract.seeds import exchange_date
from extract.settings import PROJECT_DIR
from infra.local import demo
from tests.conftest import Pipeline, copied

(PYTHON,) = re.findall(r"```python\n(.*?)```", (PROJECT_DIR / "README.md").read_text(), re.DOTALL)


def test_the_first_page_asks_for_what_the_demo_has(
    tmp_path: Path, market_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(market_folder / "archive", tmp_path / "archive")
    demo._write_files(tmp_path / "exchange")
    with copied(market_folder / "warehouse", tmp_path / "warehouse") as warehouse_dir:
        pipeline = Pipeline(tmp_path / "archive", warehouse_dir)
        lists = sorted((tmp_path / "exchange").glob("ind_*.csv"))
        reports = take_files(pipeline.archive, lists, exchange_date(datetime.now(UTC)), lambda *_: None)
        assert [report.reason for report in reports if not report.paths] == []
        # Memberships are a view: no build is needed.
        pipeline.replay()
        for name, value in pipeline.environment.items():
            monkeypatch.setenv(name, value)
        names: dict[str, Any] = {}
        told = []
        for statement in ast.parse(PYTHON).body:
            code = ast.unparse(statement)
            if isinstance(statement, ast.Expr):
                told.append(eval(code, names))  # noqa: S307 It is ours, and what this test is of.
            else:
                exec(code, names)  # noqa: S102
    bars, panel, members, actions = told
    assert list(bars.columns)[:3] == ["symbol", "trade_date", "open"]
    assert all(isinstance(table, pa.Table) and table.num_rows > 0 for table in (panel, members, actions))
