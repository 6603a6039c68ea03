"""Questions as an analyst types them: to a pipe, to a real terminal, and wrong."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from extract.cli import main
from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline, copied


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, empty_marts: Path) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("asked")
    with copied(empty_marts, folder / "warehouse") as warehouse_dir:
        yield Pipeline(folder / "archive", warehouse_dir)


def on_a_terminal(pipeline: Pipeline, *arguments: str, columns: int = 80) -> str:
    """What a command shows on a terminal of so many columns; it must end with 0."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in pipeline.environment.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "extract", *arguments],
        env=environment | {"TERM": "xterm"},
        cwd=PROJECT_DIR,
        stdin=its,
        stdout=its,
        stderr=its,
    ) as process:
        os.close(its)
        shown = b""
        try:
            while read := os.read(ours, 65536):
                shown += read
        except OSError:
            pass  # The terminal's other end is closed.
        os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


WIDE = ", ".join(f"'{'v' * 12}' as column_{number}" for number in range(12))


def test_a_terminal_shows_a_wide_row_on_its_side_and_of_many_the_columns_that_fit(built: Pipeline) -> None:
    shown = on_a_terminal(built, "query", f"select {WIDE}")
    assert shown.count("v" * 12) == 12
    assert "column_11 │ vvvvvvvvvvvv\n1 row, " in shown
    shown = on_a_terminal(built, "query", f"select {WIDE} from unnest(generate_array(1, 9))")
    assert "5 of 12 columns shown; --format csv has all\n9 rows, " in shown
    # Without the sequences by which the spinner is drawn and taken back.
    plain = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown)
    table = [line for line in plain.splitlines() if "│" in line]
    assert len(table) == 10
    assert all(len(line) <= 80 for line in table)


def test_markup_links_emoji_and_control_characters_are_data(built: Pipeline) -> None:
    sql = "select '[abc] def' as `[red]h`, '[/] z' as z, ':smile: [link=x]y' as s, '\\x1b[2Jx' as c"
    for shown in (on_a_terminal(built, "query", sql, columns=200), built.command("query", sql).stdout):
        assert "│ [abc] def │ [/] z │ :smile: [link=x]y │ \\x1b[2Jx │" in shown
        assert "[red]h" in shown


@pytest.mark.parametrize(
    ("sql", "status", "words"),
    [
        ("select clos from daily_bars", 1, "Unrecognized name: clos; did you mean close?"),
        ("select close from dayly_bars", 1, "there is no table dayly_bars; did you mean daily_bars?"),
        ("select 1 from quality_coverage", 1, "did you mean trading_data_quality.quality_coverage?"),
        ("select 1; select 2", 2, "there are several statements"),
        ("drop view daily_bars", 2, "would change the warehouse (drop view)"),
        ("delete from fct_daily_bars where true", 2, "would change the warehouse (delete)"),
        ("create table trading_data.mine as select 1 as one", 2, "would change the warehouse"),
        ("-- nothing\n;", 2, "there is no statement"),
    ],
)
def test_what_is_wrong_is_said_once(
    built: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sql: str,
    status: int,
    words: str,
) -> None:
    for name, value in built.environment.items():
        monkeypatch.setenv(name, value)
    assert main(["query", sql]) == status
    shown = capsys.readouterr()
    told, *logged = shown.err.splitlines()
    assert shown.out == ""
    assert words in told
    # The same once more for the log, as one JSON object.
    assert len(logged) == 1
    for noise in ("Job ID", "reason:", "Location", "Traceback"):
        assert noise not in shown.err


def test_only_who_says_so_writes(built: Pipeline) -> None:
    make = "create table trading_data.mine as select 1 as one"
    assert re.fullmatch(r"Done, \d+\.\d s\n", built.command("query", "--write", make).stdout)
    assert built.command("query", "select one from mine", "--format", "csv").stdout == "one\n1\n"
    done = built.command("query", "--write", "update trading_data.mine set one = 2 where true")
    assert done.stdout.startswith("1 row changed, ")
    assert built.command("query", "--write", "drop table trading_data.mine").returncode == 0


def test_an_answer_goes_into_a_file_whole_or_not_at_all(built: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "asked.sql").write_text("-- Two rows.\nselect n from unnest([1, 2]) as n order by n")
    done = built.command("query", "--file", str(tmp_path / "asked.sql"), "-o", str(tmp_path / "n.json"))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "n.json").read_text()) == [{"n": 1}, {"n": 2}]
    refused = built.command("query", "select error('no') as n", "-o", str(tmp_path / "n.json"))
    assert refused.returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked.sql", "n.json"]
    assert json.loads((tmp_path / "n.json").read_text()) == [{"n": 1}, {"n": 2}]
    for target, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "n.csv", "does not exist")):
        done = built.command("query", "select 1", "-o", str(target))
        assert (done.returncode, words in done.stderr) == (2, True)


def test_so_many_rows_and_no_more(built: Pipeline) -> None:
    done = built.command("query", "select n from unnest(generate_array(1, 50)) as n order by n", "--max-rows", "2")
    assert done.stdout.splitlines()[3:5] == ["│ 1 │", "│ 2 │"]
    assert "\n2 of 50 rows, " in done.stdout


@pytest.mark.parametrize("form", ["csv", "table"])
def test_a_reader_who_goes_ends_it_quietly(built: Pipeline, form: str) -> None:
    sql = "select n from unnest(generate_array(1, 300000)) as n"
    command = [sys.executable, "-m", "extract", "query", sql, "--format", form]
    with subprocess.Popen(
        command, env=built.environment, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert told == b""


def test_tables_and_their_columns_are_told(built: Pipeline) -> None:
    lines = built.command("tables").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert "One row per symbol and session" in rows["daily_bars"]
    assert rows["dim_instruments"].split()[1] == "250"
    assert {"trading_data_quality.data_status", "trading_data_operations.operations_alerts"} <= rows.keys()
    told = built.command("describe", "DAILY_BARS").stdout
    assert "adjusted for all later dividends too" in told
    assert "ARRAY<STRING>" in told
    wrong = built.command("describe", "daily_bar")
    assert (wrong.returncode, "did you mean daily_bars?" in wrong.stderr) == (2, True)
    shown = on_a_terminal(built, "describe", "daily_bars")
    assert [line for line in shown.partition("\ncolumn ")[2].splitlines() if len(line) > 80] == []
