"""An incremental build equals a full one, whatever becomes of the corporate actions between the builds."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Pipeline
from tests.extract.action_histories import History
from tests.extract.conftest import assert_as_one_full_build

# `make test-actions` tries more. The shares of a few seeds stand in one market, because a build costs its statements.
_SEEDS = range(int(os.environ.get("ACTION_SEEDS", "2")))
_SEEDS_OF_A_MARKET = 10
_MARKETS = [_SEEDS[start : start + _SEEDS_OF_A_MARKET] for start in range(0, len(_SEEDS), _SEEDS_OF_A_MARKET)]
_BUILDS = 2 if len(_SEEDS) <= 2 else 4


@pytest.mark.parametrize("seeds", _MARKETS, ids=str)
def test_builds_between_arrivals_make_the_marts_of_one_full_build(
    seeds: range, built_pipeline: Pipeline, pipeline: Pipeline, tmp_path: Path
) -> None:
    stepwise = replace(built_pipeline, archive_dir=tmp_path / "arrived", runs_data_tests=False)
    (tmp_path / "history").mkdir()
    history = History(seeds, tmp_path / "history")
    whole = replace(pipeline, archive_dir=Path(history.archive.uri), runs_data_tests=False)
    for paths in history.builds(_BUILDS):
        for path in paths:
            (stepwise.archive_dir / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(whole.archive_dir / path, stepwise.archive_dir / path)
        assert stepwise.replay().loaded == len(paths)
        assert stepwise.build().window_start is not None
    expected = assert_as_one_full_build(stepwise, whole)
    # A market in which nothing happened would show nothing.
    statuses = "".join(expected["fct_corporate_actions"])
    assert all(f"'{status}'" in statuses for status in ("confirmed", "contradicted", "reported", "withdrawn"))
