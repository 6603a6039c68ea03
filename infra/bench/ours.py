"""Our side of the comparison: ``trading-data replay`` of the same bars, from the archive to the tested marts."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from google.cloud import bigquery

from extract.settings import Settings
from extract.warehouse import open_warehouse
from infra.bench.bars import Given
from infra.bench.compare import Comparison, check
from infra.local.command import run, settings_of

_MART = "model.trading_data.fct_daily_bars"


def our_round(comparison: Comparison, given: Given, folder: Path) -> None:
    """Load and build the bars, then the delta, in an empty warehouse, and look at what is in the mart."""
    place = folder / "ours"
    shutil.rmtree(place, ignore_errors=True)
    environment = settings_of(place)
    results = {}
    for step, source in (("load", given.archive), ("delta", given.delta_archive)):
        shutil.copytree(source, place / "archive", dirs_exist_ok=True)
        began = datetime.now(UTC)
        whole = run("replay", environment).seconds
        with open_warehouse(Settings.from_environment(environment)) as warehouse:
            results[step] = _loading(warehouse.client, began) + _building(place / "warehouse" / "dbt" / "target"), whole
            marts = f"{warehouse.client.project}.{warehouse.dataset}"
            (counted,) = warehouse.query(f"select count(*) as bars from `{marts}.fct_daily_bars`")
            closes = f"select symbol, close from `{marts}.fct_daily_bars` where trade_date = '{given.restated_on}'"
            found = {row["symbol"]: float(row["close"] or 0) for row in warehouse.query(closes)}
    check(counted["bars"], found, given.distinct[1], given.restated)
    for step, (seconds, whole) in results.items():
        does = "load; deduplicates, compares two sources, checks, merges"
        comparison.note("ours", f"{step}, the work itself", does, seconds)
        comparison.note("ours", f"{step}, the whole command", "all marts and tests; process start", whole)


def _loading(client: bigquery.Client, since: datetime) -> float:
    """What the load jobs took."""
    jobs = client.list_jobs(min_creation_time=since)
    spans = ((job.started, job.ended) for job in jobs if isinstance(job, bigquery.LoadJob))
    return float(sum((ended - started).total_seconds() for started, ended in spans))


def _building(target: Path) -> float:
    """How long the last build was at work on the mart of bars and what it is made of, of the models alone."""
    parents: dict[str, list[str]] = json.loads((target / "manifest.json").read_text())["parent_map"]
    wanted: set[str] = set()
    ahead = [_MART]
    while ahead:
        node = ahead.pop()
        if node not in wanted:
            wanted.add(node)
            ahead += parents.get(node, [])
    spans = sorted(
        (datetime.fromisoformat(timing["started_at"]), datetime.fromisoformat(timing["completed_at"]))
        for result in json.loads((target / "run_results.json").read_text())["results"]
        if result["unique_id"] in wanted and result["unique_id"].startswith("model.")
        for timing in result["timing"]
        if timing["name"] == "execute"
    )
    # Four are at work at once: a second in which two of them are is one second.
    seconds = 0.0
    reached = spans[0][0]
    for began, ended in spans:
        seconds += max(0.0, (ended - max(began, reached)).total_seconds())
        reached = max(reached, ended)
    return seconds
