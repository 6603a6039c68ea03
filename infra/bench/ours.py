"""Our side of the comparison: ``trading-data replay`` of the same bars, from the archive to the tested marts."""

import json
import re
import shutil
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from extract.landing.raw import KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.settings import Settings
from extract.warehouse.connection import open_warehouse
from infra.bench.bars import Given
from infra.bench.command import run, settings_of
from infra.bench.compare import Comparison, Job, Taken, check, covered, jobs_since

_MART = "model.trading_data.fct_daily_bars"
_ALL_VERSIONS = "model.trading_data.fct_daily_bar_revisions"

# The names of our two results. The first builds only the models of bars, as the peers do; the second builds all models
# that the mart needs.
_BARS = "ours"
_WITH_ACTIONS = "ours, with corporate actions"

# The tags of the models by which corporate actions are judged.
_OF_ACTIONS = {"actions", "evidence"}


def our_round(comparison: Comparison, given: Given, folder: Path) -> None:
    """Load and build the bars, then the delta, in an empty warehouse, and check the mart."""
    place = folder / "ours"
    shutil.rmtree(place, ignore_errors=True)
    environment = settings_of(place)
    manifest = place / "warehouse" / "dbt" / "target" / "manifest.json"
    results = {}
    # One server for both steps, as for the peers.
    with open_warehouse(Settings.from_environment(environment)) as warehouse:
        for step, source in (("load", given.archive), ("delta", given.delta_archive)):
            shutil.copytree(source, place / "archive", dirs_exist_ok=True)
            began = datetime.now(UTC)
            command = run("replay", environment).seconds
            landing, by_model = _split(jobs_since(warehouse.client, began))
            ancestors, of_bars = models_of_bars(json.loads(manifest.read_text()))
            for who, models in ((_BARS, of_bars), (_WITH_ACTIONS, ancestors)):
                building = [job for model, jobs in by_model.items() if model in models for job in jobs]
                results[step, who] = _taken(landing, building, command)
        marts = f"{warehouse.client.project}.{warehouse.dataset}"
        (counted,) = warehouse.query(f"select count(*) as bars from `{marts}.fct_daily_bars`")
        closes = f"select symbol, close from `{marts}.fct_daily_bars` where trade_date = '{given.restated_on}'"
        found = {row["symbol"]: float(row["close"] or 0) for row in warehouse.query(closes)}
    check(counted["bars"], found, given.distinct[1], given.restated)
    does = {
        _BARS: "load; keeps all versions, deduplicates, compares two sources, checks, merges",
        _WITH_ACTIONS: "the same, and finds splits and dividends and puts each series on one scale",
    }
    for (step, who), taken in results.items():
        comparison.note_taken(who, step, does[who], taken)


def models_of_bars(manifest: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The mart of bars with all models that it reads; and the same without those of the corporate actions."""
    ancestors: set[str] = set()
    ahead = [_MART]
    while ahead:
        node = ahead.pop()
        if node.startswith("model.") and node not in ancestors:
            ancestors.add(node)
            ahead += manifest["parent_map"][node]
    tags = {node: manifest["nodes"][node]["config"]["tags"] for node in ancestors}
    of_actions = {node for node in ancestors if _OF_ACTIONS & set(tags[node]) and "windowed" not in tags[node]}
    return ancestors, ancestors - of_actions | {_ALL_VERSIONS}


def _split(jobs: list[Job]) -> tuple[list[Job], dict[str, list[Job]]]:
    """The jobs that landed the bars, and by model those of the build."""
    by_model: dict[str, list[Job]] = defaultdict(list)
    others: list[Job] = []
    for job in jobs:
        # dbt begins a statement with a comment that names its node.
        named = re.match(r'/\* \{.*?"node_id": "(model[^"]+)"', getattr(job, "query", ""))
        (by_model[named[1]] if named else others).append(job)
    of_bars = (KITE_DAILY_BARS.name, YAHOO_DAILY_BARS.name)
    landed = max(
        job.ended for job in others if isinstance(job, bigquery.LoadJob) and job.destination.table_id in of_bars
    )
    return [job for job in others if job.created < landed], by_model


def _taken(landing: list[Job], building: list[Job], command: float) -> Taken:
    # The time between two load jobs counts as work, because we read, write and send then. The time that dbt spends
    # between two statements does not count.
    landed = (min(job.created for job in landing), max(job.ended for job in landing))
    work = covered([landed, *((job.created, job.ended) for job in building)])
    return Taken(work, covered((job.started, job.ended) for job in (*landing, *building)), command)
