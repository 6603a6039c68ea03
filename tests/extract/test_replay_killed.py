"""Same archive, same marts: wherever the process died."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline
from tests.extract.conftest import Marts, assert_same


def test_a_replay_that_was_killed_again_and_again_makes_the_same_marts(
    pipeline: Pipeline, archived: Path, undisturbed: Marts, tmp_path: Path
) -> None:
    # A warehouse of its own, because the kill takes the server too.
    own = replace(pipeline, archive_dir=archived, warehouse_dir=tmp_path / "warehouse")
    with (tmp_path / "log").open("w") as log:
        for lines_before_the_kill in (1, 2, 8, 35):
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
    assert_same(own.marts(), undisturbed)
