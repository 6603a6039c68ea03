"""What a person sees on a terminal of 80 columns: the real command, on a real pseudo-terminal."""

import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from extract.landing.archive import Archive
from extract.landing.lease import held
from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline
from tests.terminal import COLUMNS, Screen, on_terminal

_TIME = re.compile(r"\d\d:\d\d:\d\d (warning|error|info)")
_STEP = re.compile(r"\d:\d\d:\d\d$")
_WEEK = ("--from", "2024-06-03", "--to", "2024-06-07")


@pytest.fixture
def own(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "archive", tmp_path / "warehouse")


def _assert_whole(screen: Screen) -> None:
    """No line of the log stands behind a step, and no step behind a line of the log."""
    for line in screen.seen:
        assert not _TIME.search(line) or _TIME.match(line), line
        assert not (_TIME.match(line) and _STEP.search(line)), line
    # A step is gone when it is over.
    assert not [line for line in screen.shown if _STEP.search(line)]


def test_without_a_network_each_source_says_so_once_and_the_end_is_six_lines(own: Pipeline) -> None:
    nowhere = {
        "KITE_API_KEY": "key",
        "KITE_ACCESS_TOKEN": "token",
        "KITE_BASE_URL": "https://kite.invalid",
        "YAHOO_BASE_URL": "http://127.0.0.1:1",
    }
    ended = on_terminal(["extract", "--symbols", "tcs, INFY", *_WEEK], own.environment | nowhere)
    assert ended.status == 3
    assert "Pool" not in ended.sent
    _assert_whole(ended.screen)
    shown = ended.screen.shown
    logged = [line for line in shown if _TIME.match(line)]
    assert len(logged) == 2, shown
    end = shown[shown.index("Asked: kite 3 requests for 2 symbols, yahoo 2 requests for 2 symbols.") :]
    assert end[1] == "Came: kite 0 of 2 symbols, yahoo 0 of 2 symbols; 0 new bars."
    assert len(end) <= 6
    before = " ".join(line.strip() for line in shown[: -len(end)])
    assert before.count("kite.invalid could not be found; is there a network?") == 1
    assert before.count("127.0.0.1:1 refuses the connection") == 1
    assert any("fetching" in line for line in ended.screen.seen)
    assert any("starting the warehouse" in line for line in ended.screen.seen)
    again = on_terminal(["extract", "--verbose", "--symbols", "TCS", *_WEEK], own.environment | nowhere)
    _assert_whole(again.screen)
    assert "attempt=5" in again.sent
    assert "attempt=" not in ended.sent


def test_a_dry_run_shows_its_plan_and_no_bar(own: Pipeline) -> None:
    ended = on_terminal(["extract", "--dry-run", "--symbols", "ZOMATO", *_WEEK], own.environment)
    assert ended.status == 0
    assert "fetching" not in ended.sent
    assert ended.screen.shown[0] == "ZOMATO is ETERNAL now."
    assert ended.screen.shown[1].startswith("\u250f")
    assert not [line for line in ended.screen.seen if "\u250f" in line and _STEP.search(line)]


def test_results_go_to_standard_output_while_a_step_is_shown(own: Pipeline) -> None:
    ended = on_terminal(["query", "select 'an answer' as told"], own.environment, is_piped=True)
    assert ended.status == 0
    assert "starting the warehouse" in ended.sent
    assert "an answer" not in ended.sent


def test_another_command_is_waited_for_in_one_line_until_a_person_gives_up(own: Pipeline) -> None:
    since: list[datetime] = []

    def clock() -> datetime:
        since.append(datetime.now(UTC))
        return since[-1]

    pressed: list[float] = []

    def give_up(screen: Screen, process: subprocess.Popen[bytes]) -> None:
        if any("Ctrl-C to give up" in line for line in screen.lines) and not pressed:
            time.sleep(1)
            pressed.append(time.monotonic())
            process.send_signal(signal.SIGINT)

    with held(Archive(own.settings.archive_uri), "build-a", "build", clock):
        ended = on_terminal(["build"], own.environment, watch=give_up)
    assert ended.status == 130
    waits = {re.sub(r"^\W+|\s+[\d:]+$", "", line) for line in ended.screen.seen if "waiting" in line}
    (wait,) = waits
    assert re.fullmatch(r"waiting for `build` \(since \d\d:\d\d IST\); Ctrl-C to give up", wait)
    assert ended.screen.shown == ["trading-data: interrupted; run the same command again to continue"]
    # Nobody is told of what a person has stopped.
    assert "run_failed" not in ended.sent


def test_a_second_press_while_a_command_ends_shows_no_traceback(own: Pipeline) -> None:
    pressed: list[str] = []

    def press(screen: Screen, process: subprocess.Popen[bytes]) -> None:
        for shown in ("Ctrl-C to give up", "interrupted"):
            if shown not in pressed and any(shown in line for line in screen.lines):
                pressed.append(shown)
                process.send_signal(signal.SIGINT)

    with held(Archive(own.settings.archive_uri), "build-a", "build", lambda: datetime.now(UTC)):
        ended = on_terminal(["build"], own.environment, watch=press)
    # A shell reports 130 for either.
    assert ended.status in (130, -signal.SIGINT)
    assert ended.screen.shown == ["trading-data: interrupted; run the same command again to continue"]


@pytest.mark.parametrize("command", ["serve", "docs"])
def test_a_port_that_is_used_is_told_before_anything_starts(own: Pipeline, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = on_terminal([command, "--port", str(port)], own.environment)
    assert (ended.status, ended.screen.shown) == (
        2,
        [f"trading-data: port {port} is in use; --port 0 takes a free one"],
    )
    assert not own.warehouse_dir.exists()


def test_alone_it_prints_what_there_is_in_80_columns(own: Pipeline) -> None:
    ended = on_terminal([], own.environment)
    assert ended.status == 0
    lines = ended.sent.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert {"exit status:", "examples:"} <= set(lines)


@pytest.mark.parametrize(
    ("arguments", "reader", "read"),
    [
        ("query --format csv 'select x from unnest(generate_array(1, 100000)) as x'", "head -1", "x\n"),
        ("extract --dry-run --symbols TCS --json", "true", ""),
    ],
)
def test_whoever_closes_the_pipe_has_what_it_wanted(own: Pipeline, arguments: str, reader: str, read: str) -> None:
    script = f"set -o pipefail; {sys.executable} -m extract {arguments} | {reader}"
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        env=own.environment,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, read), done.stderr


def test_a_failure_is_json_where_json_was_asked_for(own: Pipeline) -> None:
    import json

    done = own.command("status", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["exit_status"] == 1
    assert told["error"].startswith("nothing has been built")


def test_a_mistyped_command_is_no_failed_run(own: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "stray").write_text("no folder")
    done = own.command("build", environment={"WAREHOUSE_DIR": str(tmp_path / "stray")})
    assert done.returncode == 2
    assert "run_failed" not in done.stderr
    assert not [path for path in Archive(own.settings.archive_uri).paths() if path.startswith("extract_runs")]
