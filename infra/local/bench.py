"""``make bench``: what builds, queries and fetching cost on this machine, at full size and at a quarter of it.

The prices are simulated (``infra/local/market.py``); the sizes are those of the 250 symbols. Machines are noisy: the
ratios are within one run, and mean more than the seconds.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from extract.archive import Archive
from extract.raw import KITE_DAILY_BARS
from extract.seeds import last_closed_session
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse import open_warehouse
from infra.local.demo import providers, simulate
from infra.local.market import write_market
from infra.local.providers import ACCESS_TOKEN

_console = Console(highlight=False)

# Four times as long: every session of the trading calendar, and the last quarter of it.
_HISTORIES = {"quarter": date(2022, 9, 1), "full": date(2010, 1, 4)}

_RESTATED = ("ASIANPAINT", "INFY", "RELIANCE", "SBIN", "TITAN")

_QUERIES = {
    "one symbol, all years": "select * from `{d}.daily_bars` where symbol = 'RELIANCE' order by trade_date",
    "one session, all symbols": "select * from `{d}.daily_bars` where trade_date = date '{day}' order by symbol",
    "a sector's yearly returns": """
        select
            extract(year from trade_date) as year,
            exp(sum(ln(1 + daily_return)) / count(distinct symbol)) - 1 as mean_log_return
        from `{d}.daily_bars`
        where sector = 'Financial Services' and daily_return is not null
        group by year
        order by year
    """,
}


def bench(folder: Path) -> dict[str, Any]:
    """Measure, print and return: seconds, ratios, and the largest process in megabytes."""
    last = last_closed_session(datetime.now(UTC))
    results: dict[str, Any] = {}
    for name, first in _HISTORIES.items():
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)
        environment = os.environ | {
            "WAREHOUSE_DIR": str(place / "warehouse"),
            "ARCHIVE_URI": str(place / "archive"),
            "BIGQUERY_PROJECT": "",
            "BIGQUERY_EMULATOR_HOST": "",
            "BIGQUERY_DATASET": "",
        }
        write_market(Archive(environment["ARCHIVE_URI"]), first=first, last=last)
        held_out = _hold_out_last_run(place)
        full, peak = _run("replay", environment)
        for path, place_in_archive in held_out.items():
            path.rename(place_in_archive)
        _run("replay", environment, "--no-build")
        incremental, incremental_peak = _run("build", environment)
        _restate(Archive(environment["ARCHIVE_URI"]))
        _run("replay", environment, "--no-build")
        restated, restated_peak = _run("build", environment)
        settings = Settings.from_environment(environment)
        with open_warehouse(settings) as warehouse:
            marts = f"{warehouse.client.project}.{warehouse.dataset}"
            (counts,) = warehouse.query(
                f"select (select count(*) from `{marts}.fct_daily_bars`) as bars,"
                f" (select count(*) from `{marts}_raw.kite_daily_bars`)"
                f" + (select count(*) from `{marts}_raw.yahoo_daily_bars`) as received"
            )
            queries = {
                what: statistics.median(_seconds(warehouse, sql.format(d=marts, day=last)) for _ in range(5))
                for what, sql in _QUERIES.items()
            }
        results[name] = {
            "received_bars": counts["received"],
            "bars": counts["bars"],
            "full_replay_and_build_seconds": full,
            "incremental_build_seconds": incremental,
            "restatement_build_seconds": restated,
            "peak_process_megabytes": max(peak, incremental_peak, restated_peak),
            "query_seconds": queries,
        }
    results["incremental_full_to_quarter_ratio"] = (
        results["full"]["incremental_build_seconds"] / results["quarter"]["incremental_build_seconds"]
    )
    return results


def bench_providers(folder: Path) -> dict[str, Any]:
    """Measure fetching against the simulated Kite, at its documented limits and 100 ms away.

    The quotes go into the full-size warehouse that ``bench`` left behind.
    """
    results: dict[str, Any] = {}
    with providers("--first", str(_HISTORIES["full"])) as address:
        simulate(address, faults=[{"source": "kite", "kind": "latency", "seconds": 0.1}])
        environment = (
            os.environ
            | address
            | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN, "BIGQUERY_PROJECT": "", "BIGQUERY_EMULATOR_HOST": ""}
        )
        for name in ("KITE_REQUESTS_PER_SECOND", "YAHOO_REQUESTS_PER_SECOND", "BIGQUERY_DATASET"):
            environment.pop(name, None)
        full = _places(folder / "full")
        # The first run against providers after a replay builds in full where the bench's own project has changed.
        _report("run", environment | full, "--mode", "quotes")
        seconds, report, landed = _report("run", environment | full, "--mode", "quotes")
        results["quotes_in_raw_seconds"] = landed
        results["quotes_built_and_tested_seconds"] = seconds
        assert report["landed_rows"]["kite_quotes"] > 200
        for name, command in (
            ("full_mode", ("extract", "--source", "kite")),
            ("backfill", ("backfill", "--source", "kite", "--from", "2010-01-01")),
        ):
            place = folder / name
            shutil.rmtree(place, ignore_errors=True)
            _, plan, _ = _report(command[0], environment | _places(place), *command[1:], "--dry-run")
            (kite,) = plan["plan"]
            requests = kite["requests"] - 1  # Without the instruments dump.
            _, report, _ = _report(command[0], environment | _places(place), *command[1:])
            results[f"{name}_requests"] = requests
            results[f"{name}_seconds"] = report["seconds"]["kite"]
            results[f"{name}_to_limit_ratio"] = report["seconds"]["kite"] / (requests / 3)
    return results


def _places(place: Path) -> dict[str, str]:
    return {"WAREHOUSE_DIR": str(place / "warehouse"), "ARCHIVE_URI": str(place / "archive")}


def _report(command: str, environment: dict[str, str], *arguments: str) -> tuple[float, dict[str, Any], float]:
    """Run a command that fetches; return its seconds, its report, and the seconds until its first batch was in raw."""
    began = time.time()
    process = subprocess.run(
        [sys.executable, "-m", "extract", command, *arguments, "--json"],
        env=environment,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.time() - began
    # One symbol of the simulated market is not served by Kite, which is why a run ends with 3.
    if process.returncode not in (0, 3):
        raise SystemExit(f"trading-data {command} ended with status {process.returncode}:\n{process.stderr[-3000:]}")
    lines = [json.loads(line) for line in process.stderr.splitlines() if line.startswith("{")]
    landed = [datetime.fromisoformat(line["time"]).timestamp() for line in lines if line["message"] == "batch landed"]
    report: dict[str, Any] = json.loads(process.stdout)
    return seconds, report, min(landed, default=0.0) - began


def _hold_out_last_run(place: Path) -> dict[Path, Path]:
    """Move the batches of the last day out of the archive; return where each is now, and where it belongs."""
    days = {path.parent.name for path in (place / "archive").glob("*/extracted_on=*/*.parquet")}
    held_out = {}
    for path in (place / "archive").glob(f"*/{max(days)}/*.parquet"):
        outside = place / f"{path.parts[-3]}-{path.name}"
        path.rename(outside)
        held_out[outside] = path
    return held_out


def _restate(archive: Archive) -> None:
    """Let Kite send the whole history of five symbols anew, as after a split of one share into two."""
    received = [archive.read(path) for path in archive.paths() if path.startswith(f"{KITE_DAILY_BARS.name}/")]
    rows = pa.concat_tables([batch.rows for batch in received]).sort_by(
        [("date", "ascending"), ("_extracted_at", "ascending")]
    )
    rows = rows.filter(pc.is_in(rows["symbol"], pa.array(_RESTATED)))
    latest = rows.group_by(["symbol", "date"], use_threads=False).aggregate(
        [(name, "last") for name in rows.column_names if name not in ("symbol", "date")]
    )
    latest = latest.rename_columns([name.removesuffix("_last") for name in latest.column_names])
    for name in ("open", "high", "low", "close"):
        latest = latest.set_column(latest.column_names.index(name), name, pc.divide(latest[name], 2.0))
    volume = pc.multiply(latest["volume"], 2)
    latest = latest.set_column(latest.column_names.index("volume"), "volume", volume)
    asked_at = pc.max(rows["_extracted_at"]).as_py() + timedelta(minutes=5)
    archive.write(KITE_DAILY_BARS, latest, f"restated-{asked_at:%Y%m%dT%H%M%SZ}", 0, asked_at)


def _run(command: str, environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    """Run one command; return its seconds, and the megabytes of the largest of its processes at its largest."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "extract", command, *arguments],
        env=environment,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        peak = [0]
        watch = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watch.start()
        output, _ = process.communicate()
        seconds = time.monotonic() - began
        watch.join()
    if process.returncode:
        raise SystemExit(f"trading-data {command} ended with status {process.returncode}:\n{output[-3000:]}")
    return seconds, peak[0] / 1e6


def _watch(pid: int, peak: list[int]) -> None:
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            for process in [root, *root.children(recursive=True)]:
                peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.1)
    except psutil.NoSuchProcess:
        return


def _seconds(warehouse: Any, sql: str) -> float:
    began = time.monotonic()
    rows = list(warehouse.query(sql))
    assert rows
    return time.monotonic() - began


def main() -> int:
    """Run the benchmark and print it as a table, and as JSON on the last line."""
    parser = argparse.ArgumentParser(description="Measure builds and queries on a simulated market.")
    parser.add_argument("--folder", type=Path, default=PROJECT_DIR / ".bench")
    folder = parser.parse_args().folder.absolute()
    results = bench(folder)
    results["providers"] = bench_providers(folder)
    table = Table("", *_HISTORIES, title="Simulated prices, real sizes, embedded warehouse")
    rows = {
        "bars received": "received_bars",
        "bars in the mart": "bars",
        "full replay and build, s": "full_replay_and_build_seconds",
        "build after one more session, s": "incremental_build_seconds",
        "build after five whole histories were restated, s": "restatement_build_seconds",
        "largest process, MB": "peak_process_megabytes",
    }
    for label, key in rows.items():
        table.add_row(label, *(f"{results[name][key]:,.1f}".removesuffix(".0") for name in _HISTORIES))
    for what in _QUERIES:
        table.add_row(f"query: {what}, s", *(f"{results[name]['query_seconds'][what]:.2f}" for name in _HISTORIES))
    _console.print(table)
    ratio = results["incremental_full_to_quarter_ratio"]
    _console.print(f"A build after one more session takes {ratio:.2f} × as long on four times the history.")
    fetched = results["providers"]
    _console.print(
        f"Quotes of all symbols: in raw {fetched['quotes_in_raw_seconds']:.1f} s after the start of the command,"
        f" built and tested after {fetched['quotes_built_and_tested_seconds']:.1f} s.",
        soft_wrap=True,
    )
    for name, text in (("full_mode", "run --mode full"), ("backfill", "A backfill since 2010")):
        _console.print(
            f"{text}: {fetched[f'{name}_requests']} requests to Kite in {fetched[f'{name}_seconds']:.1f} s,"
            f" {fetched[f'{name}_to_limit_ratio']:.3f} × what 3 requests a second allow.",
            soft_wrap=True,
        )
    sys.stdout.write(json.dumps(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
