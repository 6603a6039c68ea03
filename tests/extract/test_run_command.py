"""The command itself, against simulated providers: login, plan, run, status; and what it writes into its log."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extract.commands.summary import _wrongs
from extract.reporting.alerts import Alert
from extract.reporting.report import Outcome
from extract.seeds import last_closed_session
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, API_SECRET, Fault, Providers, serving
from tests.conftest import Pipeline
from tests.extract.conftest import FAST, Exchange

SYMBOLS = ("ABB", "M&M", "TCS")


@pytest.fixture
def present() -> Iterator[Exchange]:
    """Providers that serve the last month, as the real ones would today."""
    last = last_closed_session(datetime.now(UTC))
    market = draft_market(first=last - timedelta(days=30), last=last, symbols=SYMBOLS)
    providers = Providers(market, limits=FAST)
    with serving(providers) as address:
        yield Exchange(providers, address)


def test_a_person_logs_in_and_the_job_runs_degrades_and_says_so(
    present: Exchange, built_pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline = built_pipeline
    environment = present.environment(pipeline) | {"KITE_ACCESS_TOKEN": ""}
    arguments = ("--symbols", ",".join(SYMBOLS), "--json")

    done = pipeline.command(
        "kite-login", "https://localhost/?request_token=simulatedrequesttoken", environment=environment
    )
    assert done.returncode == 0, done.stderr
    assert "is valid until" in done.stdout
    (token,) = present.providers.tokens
    assert token in (tmp_path / "kite-session.json").read_text()

    done = pipeline.command("run", "--dry-run", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    planned = {row["source"]: (row["requests"], row["symbols"]) for row in json.loads(done.stdout)["plan"]}
    assert planned == {"kite": (4, 3), "yahoo": (3, 3)}
    assert not any(source == "yahoo" for source, _ in present.providers.answered)

    done = pipeline.command("run", "--mode", "quotes", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["landed_rows"]["kite_quotes"] == len(SYMBOLS)
    assert report["build"]["failed"] == []
    provisional = pipeline.query("select symbol, source_id, is_provisional from `{d}.fct_daily_bars` order by symbol")
    assert provisional == [(symbol, "kite", True) for symbol in SYMBOLS]

    # The session ends before the run that would make the bars final.
    present.providers.fail(Fault("kite", "dead_token"))
    done = pipeline.command("run", *arguments, environment=environment)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert report["outcomes"]["yahoo"] == {"ok": len(SYMBOLS)}
    assert any("kite-login" in sentence for sentence in report["shortfalls"])
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"severity", "time", "message", "run_id"} <= set.intersection(*(set(line) for line in lines))
    assert {line["run_id"] for line in lines} == {report["run_id"]}
    asked = [line for line in lines if line["message"] in ("request answered", "request failed")]
    assert all(line["outcome"] in ("ok", "refused") and line["elapsed_ms"] >= 0 for line in asked)
    for secret in (token, API_SECRET, ACCESS_TOKEN):
        assert secret not in done.stdout + done.stderr

    done = pipeline.command("status", "--json", environment=environment)
    assert done.returncode == 3
    sources = {source["source_id"]: source for source in json.loads(done.stdout)["last_run"]}
    assert sources["kite"]["ok_count"] == 0
    assert "kite-login" in sources["kite"]["failure_message"]
    assert sources["yahoo"]["ok_count"] == len(SYMBOLS)


def test_what_a_run_and_the_alerts_say_of_one_bar_is_told_once() -> None:
    text = "No source sent a valid bar of 2026-11-27 for TCS."
    state: Any = SimpleNamespace(
        alerts=[Alert("unserved_symbols", "WARNING", "2026-11-27", 1, text, "trading-data run")]
    )
    told, *others = (
        "no source sent the bar of 2026-11-27 for TCS",
        "no source sent the bar of 2026-11-27 for TC",
        "no source sent the bar of 2026-11-26 for TCS",
        "kite: answered without the bar of 2026-11-27 for INFY",
    )
    wrongs = [wrong.text for wrong in _wrongs(Outcome(shortfalls=[told, *others]), state)]
    assert wrongs == [text, *others]
