"""Commands of a user who has no home, and of one who may not write where the settings point."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline

# As in a container, where the process runs under a number that the system has no name for.
_HOMELESS = """
import pwd, sys
def getpwuid(number): raise KeyError(number)
pwd.getpwuid = getpwuid
from extract.cli import main
sys.exit(main(sys.argv[1:]))
"""

# One that may read everything, as root may, so that it can start our interpreter wherever that is.
_READER = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"] + [
    f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")
]


def _can_become_another_user() -> bool:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return False
    return subprocess.run([*_READER, "true"], capture_output=True, check=False).returncode == 0


def _ended(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        command, env=environment, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in ended.stderr, ended.stderr[-3000:]
    return ended


def test_a_user_without_a_home_can_fetch_build_and_ask(pipeline: Pipeline) -> None:
    nobody_listens = {"YAHOO_BASE_URL": "http://127.0.0.1:9", "ALPHA_VANTAGE_API_KEY": ""}
    environment = {k: v for k, v in pipeline.environment.items() if k != "HOME" and not k.startswith("XDG_")}

    def ended(*typed: str) -> int:
        return _ended([sys.executable, "-c", _HOMELESS, *typed], environment | nobody_listens).returncode

    # Yahoo is asked, and nothing answers there.
    assert ended("extract", "--symbols", "TCS", "--source", "yahoo") == 3
    assert ended("build") == 0
    assert ended("query", "select count(*) from daily_bars") == 0


@pytest.mark.skipif(not _can_become_another_user(), reason="only root can become another user, with setpriv")
@pytest.mark.parametrize(
    ("typed", "closed", "said"),
    [
        (["query", "select 1"], "WAREHOUSE_DIR", "which cannot be used: Permission denied; name another folder"),
        (["extract", "--symbols", "TCS"], "ARCHIVE_URI", "cannot be opened: Permission denied; set ARCHIVE_URI"),
        (["replay"], "ARCHIVE_URI", "cannot be opened: Permission denied; set ARCHIVE_URI"),
        (["build"], "archive that is there", "cannot be written: Permission denied"),
        (["export", "daily_bars", "-o"], "-o", "cannot be written to; name another folder"),
    ],
)
def test_a_folder_that_may_not_be_written_is_named(
    pipeline: Pipeline, tmp_path: Path, typed: list[str], closed: str, said: str
) -> None:
    ours = tmp_path / "ours"
    for folder in (ours, theirs := tmp_path / "theirs"):
        folder.mkdir()
    os.chown(theirs, 54321, 54321)
    environment = pipeline.environment | {
        "WAREHOUSE_DIR": str(theirs / "warehouse"),
        "ARCHIVE_URI": str(theirs / "archive"),
        "KITE_TOKEN_STORE": str(theirs / "kite-session.json"),
        "HOME": str(theirs),
        "TMPDIR": str(theirs),
    }
    if closed == "archive that is there":
        (ours / "archive").mkdir()
        environment["ARCHIVE_URI"] = str(ours / "archive")
    elif closed == "-o":
        typed = [*typed, str(ours / "bars.csv")]
    else:
        environment[closed] = str(ours / "new")
    ended = _ended([*_READER, sys.executable, "-m", "extract", *typed], environment)
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert str(ours) in ended.stderr
    assert sorted(path.name for path in ours.rglob("*")) == (["archive"] if closed == "archive that is there" else [])
