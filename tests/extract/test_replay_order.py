"""Same archive, same marts: whatever the order of arrival, and however it is cut into runs."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from extract.archive import Archive
from tests.conftest import Pipeline
from tests.extract.conftest import Marts, assert_same, replayed


@pytest.mark.parametrize("order", ["newest first", "shuffled"])
def test_three_runs_in_any_order_make_the_marts_of_one(
    pipeline: Pipeline, archived: Path, undisturbed: Marts, order: str
) -> None:
    paths = sorted(Archive(str(archived)).paths(), key=lambda path: path.split("extracted_on=")[1], reverse=True)
    if order == "shuffled":
        random.Random(20241101).shuffle(paths)  # noqa: S311
    cuts = [round(n * len(paths) / 3) for n in range(4)]
    runs = [paths[first:last] for first, last in pairwise(cuts)]
    assert all(runs)
    assert_same(replayed(pipeline, archived, runs), undisturbed)
    # Replaying again loads nothing; building everything anew changes nothing.
    assert pipeline.replay().loaded == 0
    if order == "shuffled":
        assert pipeline.build(full_refresh=True).merged_batches == 0
        assert_same(pipeline.marts(), undisturbed)
