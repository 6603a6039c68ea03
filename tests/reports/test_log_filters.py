"""What the alerts and metrics of infra/terraform look for is in the lines that runs have really written."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from extract.settings import PROJECT_DIR
from tests.reports.conftest import FIRST, Populated

MODULE = PROJECT_DIR / "infra" / "terraform"
METRICS: dict[str, dict[str, Any]] = json.loads((MODULE / "log_metrics.json").read_text())
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

type Line = dict[str, Any]


def matches(filtered: str, line: Line) -> bool:
    """Whether a line fits a filter of Cloud Logging, as far as the module uses its language."""
    for clause in filtered.split(" AND "):
        if found := re.fullmatch(r'jsonPayload\.(\w+)="?([^"]*?)"?', clause):
            value = line.get(found[1])
            fits = value is not None and (json.dumps(value) if isinstance(value, bool) else str(value)) == found[2]
        elif found := re.fullmatch(r"jsonPayload\.(\w+):\*", clause):
            fits = line.get(found[1]) is not None
        elif found := re.fullmatch(r"severity(>?=)([A-Z]+)", clause):
            told, asked = SEVERITIES.index(line["severity"]), SEVERITIES.index(found[2])
            fits = told >= asked if found[1] == ">=" else told == asked
        else:
            raise AssertionError(f"{clause} is more than this test knows")
        if not fits:
            return False
    return True


def filter_of(metric: Mapping[str, Any]) -> str:
    """The part of a metric's filter that is about the line; monitoring.tf puts the same together."""
    where = [f"jsonPayload.{name}={value}" for name, value in metric.get("where", {}).items()]
    return " AND ".join([f'jsonPayload.message="{metric["message"]}"', *where])


@pytest.fixture(scope="module")
def written(populated: Populated, market: Mapping[str, str]) -> dict[str, list[Line]]:
    """The lines of each job: a run, another whose source refuses its token, and the watch's look."""
    pipeline = replace(populated.pipeline, runs_data_tests=False)
    execution = {"CLOUD_RUN_EXECUTION": "trading-data-x7k2p"}
    anew = ("extract", "--again", "--from", str(FIRST), "--source", "kite", "--symbols", "TCS")
    refused = pipeline.command(*anew, environment=dict(market) | execution | {"KITE_ACCESS_TOKEN": "wrong"})
    looked = pipeline.command("status", environment=execution)
    assert (refused.returncode, looked.returncode) == (0, 0), refused.stderr[-2000:] + looked.stderr[-2000:]

    def lines(text: str) -> list[Line]:
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    return {"trading-data": populated.log + lines(refused.stderr), "trading-data-watch": lines(looked.stderr)}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_finds_its_line_and_what_it_takes_of_it(written: dict[str, list[Line]], name: str) -> None:
    metric = METRICS[name]
    where = dict.fromkeys(metric.get("where", {}))
    # Whether today is a session is today's; that the line says it, and a word that the filter knows, holds every day.
    found = [line for line in written[metric["job"]] if matches(filter_of(metric | {"where": {}}), line)]
    assert found
    for line in found:
        assert all(matches(f"jsonPayload.{field}=true", line) or line[field] is False for field in where)
        assert all(line.get(label) is not None for label in metric.get("labels", ()))
    if "value" in metric:
        assert any(isinstance(line.get(metric["value"]), int | float) for line in found)


def test_each_alert_that_a_person_should_know_is_told_by_one_policy(written: dict[str, list[Line]]) -> None:
    filters = re.findall(r'filter = "(severity[^"]+)"', (MODULE / "monitoring.tf").read_text())
    assert len(filters) == 2
    alerts = [line for line in written["trading-data"] if "alert_id" in line]
    assert {line["severity"] for line in alerts} >= {"INFO", "WARNING"}
    for line in alerts:
        times = sum(matches(f"{one} AND jsonPayload.alert_id:*", line) for one in filters)
        assert times == (line["severity"] != "INFO")
    assert not any(
        matches(f"{one} AND jsonPayload.alert_id:*", {"severity": "ERROR", "message": "x"}) for one in filters
    )


def test_a_good_run_is_one_of_the_command_run(written: dict[str, list[Line]]) -> None:
    query = re.search(r"user_trading_data_runs\{(.*?)\}", (MODULE / "monitoring.tf").read_text())
    assert query
    wanted = dict(re.findall(r'(\w+)=~?\\"(.+?)\\"', query[1]))
    assert set(wanted) == {"monitored_resource", *METRICS["trading_data_runs"]["labels"]}
    finished = [line for line in written["trading-data"] if line["message"] == "run finished"]
    good = [
        line
        for line in finished
        if line["command"] == wanted["command"] and re.fullmatch(wanted["exit_status"], str(line["exit_status"]))
    ]
    # The other is `extract`, which ended well too, and is no run.
    assert [line["command"] for line in good] == ["run"]
    assert len(finished) == 2
