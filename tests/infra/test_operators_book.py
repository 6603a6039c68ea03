"""The commands of infra/README.md, typed as they stand there; and everything dropped but the archive."""

import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from extract.landing.archive import Archive
from extract.seeds import last_closed_session
from extract.settings import PROJECT_DIR
from infra.local.market import draft_market, write_market
from infra.local.providers import Providers, serving
from tests.conftest import Pipeline
from tests.extract.conftest import FAST, Exchange, assert_same, replayed
from tests.infra.gcloud import refused_commands
from tests.infra.test_terraform import HEADINGS

BOOK = (PROJECT_DIR / "infra" / "README.md").read_text()

# What reaches a cloud, a terminal of its own, or other repositories.
_ELSEWHERE = ("gcloud", "gh", "bq", ".venv/bin/python", "terraform", "docker", "export", "infra/delivery/deliver.sh")

_MODULE = PROJECT_DIR / "infra" / "terraform"


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", BOOK, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


OURS = [line for line in commands() if line.startswith("trading-data ")]

# A table is kept, and put back; what has come since is built again.
_KEEPING = next(number for number, line in enumerate(OURS) if "create snapshot table" in line)
RESTORING = [shlex.split(line)[1:] for line in OURS[_KEEPING : _KEEPING + 3]]


def test_each_command_is_ours_or_known_to_be_elsewhere() -> None:
    assert {shlex.split(line)[0] for line in commands()} == {"trading-data", *_ELSEWHERE}
    assert len(OURS) >= 10


def test_each_alert_is_explained() -> None:
    for alert in HEADINGS:
        assert f"| {alert} |" in BOOK


def test_gcloud_knows_each_command() -> None:
    told = [line for line in commands() if line.startswith("gcloud ")]
    told += re.findall(r"`(gcloud [^`\n]+)`", BOOK)
    documents = (path.read_text() for path in _MODULE.glob("*.tf"))
    told += [line for text in documents for line in re.findall(r"^ {10}(gcloud .+)$", text, re.MULTILINE)]
    told += re.findall(r'look = "(gcloud .+)"', (_MODULE / "objectives.tf").read_text())
    filled = (re.sub(r"\$\{local\.job_flags\}", "--region=here --project=PROJECT", line) for line in told)
    filled = (re.sub(r"\$\{[^}]+\}", "PROJECT", line) for line in filled)
    assert refused_commands(shlex.split(line) for line in filled) == []
    assert refused_commands([["gcloud", "run", "jobs", "executes", "trading-data"]])


def test_the_bill_adds_up() -> None:
    table = BOOK.split("### What a month costs")[1].split("\n\n")[1]
    _, _, *rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    *items, total = [[float(cell) for cell in row[2:]] for row in rows]
    assert len(items) > 8
    assert [round(sum(column), 2) for column in zip(*items, strict=True)] == total


def test_a_value_comes_from_a_file() -> None:
    typed = [line for line in commands() if line.startswith("terraform ")]
    assert [line for line in typed if " -var " in line or "-backend-config=bucket" in line] == []
    files = [file for line in typed for file in re.findall(r"(environments/\S+)", line)]
    assert files
    assert all((_MODULE / file).exists() for file in files)


@pytest.fixture
def served() -> Iterator[Exchange]:
    """Providers of the days that the book names, up to the last session."""
    last = last_closed_session(datetime.now(UTC))
    market = draft_market(first=date(2024, 6, 3), last=last, symbols=("ABB", "M&M", "TCS"))
    with serving(Providers(market, limits=FAST)) as address:
        yield Exchange(Providers(market), address)


def test_each_command_of_ours_works(served: Exchange, built_pipeline: Pipeline) -> None:
    built_pipeline = replace(built_pipeline, runs_data_tests=False)
    for line in OURS:
        # An hour ago there was nothing here yet.
        typed = shlex.split(line.replace("interval 1 hour", "interval 1 second"))
        done = built_pipeline.command(*typed[1:], environment=served.environment(built_pipeline))
        # Of 250 shares, three are here, which `status` tells.
        expected = (0, 3) if typed[1] == "status" else (0,)
        assert done.returncode in expected, (line, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    assert built_pipeline.query("select count(distinct trade_date) from `{d}.fct_daily_bars`") == [(5,)]
    asked = (
        "select sum(attempts) from `{d}_raw.extract_requests` where raw_table = 'kite_daily_bars' and symbol = 'TCS'"
    )
    assert built_pipeline.query(asked) == [(2,)]


def test_what_was_dropped_or_put_back_is_made_again_equal(
    built_pipeline: Pipeline, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    sent = Archive(str(tmp_path / "sent"))
    symbols = ["ABB", "ACC", "INFY", "TCS"]
    market = write_market(sent, first=date(2024, 1, 1), last=date(2024, 6, 28), symbols=symbols)
    last_evening = [path for path in market.paths if "extracted_on=2024-06-28" in path]
    pipeline = replace(built_pipeline, runs_data_tests=False)
    replayed(pipeline, tmp_path / "sent", [[path for path in market.paths if path not in last_evening]])
    keep, put_back, rebuild = RESTORING
    assert pipeline.command(*keep).returncode == 0
    undisturbed = replayed(pipeline, tmp_path / "sent", [last_evening])
    assert undisturbed["fct_daily_bars"]
    assert pipeline.command(*put_back).returncode == 0
    # The last session is lost with the table, and no batch is left that a build has not seen.
    assert pipeline.query("select max(trade_date) from `{d}.fct_daily_bars`") == [(date(2024, 6, 27),)]
    done = pipeline.command(*rebuild)
    assert done.returncode == 0, done.stderr
    assert_same(pipeline.marts(), undisturbed)
    pipeline.drop()
    began = time.monotonic()
    done = pipeline.command("replay")
    assert done.returncode == 0, done.stderr
    record_property("rows_per_second", market.bar_count / (time.monotonic() - began))
    assert_same(pipeline.marts(), undisturbed)
