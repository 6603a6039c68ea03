"""Same archive, same marts: whatever the order of arrival, however it is cut into runs, wherever the process died."""

import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from extract.landing.archive import Archive
from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline, copied
from tests.extract.conftest import Undisturbed, assert_same, replayed


def test_the_series_as_known_at_a_moment_is_what_was_known_then(undisturbed: Undisturbed) -> None:
    assert undisturbed.known_then
    assert undisturbed.as_of_then == undisturbed.known_then
    assert undisturbed.known_now != undisturbed.known_then


def test_a_share_that_was_renamed_has_one_series_without_gaps(undisturbed: Undisturbed) -> None:
    for table, count in (("fct_daily_bars", 10), ("daily_bars", 10), ("fct_daily_bar_revisions", 20)):
        assert len([row for row in undisturbed.marts[table] if "('symbol', 'UNITDSPR')" in row]) == count
    named_formerly = {table for table, rows in undisturbed.marts.items() if "'MCDOWELL-N'" in "".join(rows)}
    assert named_formerly == {"dim_instruments"}


def test_a_dividend_and_a_split_leave_no_trace_in_the_series(undisturbed: Undisturbed) -> None:
    rows = [row for row in undisturbed.marts["fct_daily_bars"] if "('symbol', 'VOLTAS')" in row]
    assert len(rows) == 10
    for row in rows:
        (day,) = map(int, re.findall(r"\('trade_date', datetime.date\(2024, \d, (\d+)\)\)", row))
        is_before_dividend = "datetime.date(2024, 5," in row or day < 26
        assert f"('close', Decimal('{(1000 + day) / 2:g}'))" in row
        assert "('source_id', 'kite')" in row
        assert f"('price_addend', {20.0 if is_before_dividend else 0.0})" in row
        assert "('volume', 2000)" in row


def test_three_runs_in_any_order_make_the_marts_of_one(
    built_pipeline: Pipeline, archived: Path, undisturbed: Undisturbed
) -> None:
    paths = sorted(Archive(str(archived)).paths(), key=lambda path: path.split("extracted_on=")[1], reverse=True)
    random.Random(20241101).shuffle(paths)  # noqa: S311
    cuts = [round(n * len(paths) / 3) for n in range(4)]
    runs = [paths[first:last] for first, last in pairwise(cuts)]
    pipeline = replace(built_pipeline, runs_data_tests=False)
    assert all(runs)
    assert_same(replayed(pipeline, archived, runs), undisturbed.marts)
    # Replaying again loads nothing; building everything anew changes nothing.
    assert pipeline.replay().loaded == 0
    assert pipeline.build(full_refresh=True).merged_batches == 0
    assert_same(pipeline.marts(), undisturbed.marts)


def test_a_replay_that_was_killed_again_and_again_makes_the_same_marts(
    empty_marts: Path, archived: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    # A warehouse of its own, because the kill takes the server too.
    own = Pipeline(archived, tmp_path / "warehouse", runs_data_tests=False)
    with copied(empty_marts, own.warehouse_dir):
        pass
    with (tmp_path / "log").open("w") as log:
        for lines_before_the_kill in (1, 2, 5, 8):
            process = subprocess.Popen(
                [sys.executable, "-m", "extract", "replay"],
                env=own.environment,
                cwd=PROJECT_DIR,
                stdout=log,
                stderr=subprocess.PIPE,
                text=True,
            )
            with process:
                assert process.stderr is not None
                for _ in range(lines_before_the_kill):
                    assert process.stderr.readline(), "it ended before it could be killed"
                process.send_signal(signal.SIGKILL)
    own.replay()
    own.build()
    assert_same(own.marts(), undisturbed.marts)
