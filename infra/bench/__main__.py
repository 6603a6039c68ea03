"""``make bench``: time and memory of loading, merging, building, reading and fetching, here and with other tools.

The prices are simulated (``infra/local/market.py``); the sizes are those of the 250 symbols. Machines are noisy, so the
ratios, which compare within one round, mean more than the seconds.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import last_closed_session, trading_sessions
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse.connection import open_warehouse
from infra.bench import bars as given_bars
from infra.bench.bars import write_bars
from infra.bench.command import Ended, run, settings_of
from infra.bench.compare import MERGING, Comparison, NotComparableError, peer_round
from infra.bench.fetching import LATENCY, fetching_round, unlimited
from infra.bench.ours import our_round
from infra.bench.reading import reading_round
from infra.local.demo import providers, simulate
from infra.local.market import write_market
from infra.local.providers import ACCESS_TOKEN, Limits

_console = Console(highlight=False, soft_wrap=True)

# Every session of the trading calendar.
_FIRST = date(2010, 1, 4)

_PARTS = {
    "bars": "1.17 million bars, then a delta of 500: ours and the peers in turns",
    "fetching": "250 symbols at 100 ms, without a vendor's limit: ours and yfinance in turns; at Kite's limit: ours",
    "memory": "a backfill of all years: the extractor at its largest",
    "builds": "a build after one more session, and queries: all years against the last quarter of them",
    "reading": "export and bars() in what builds leaves: ours and BigQuery's own client in turns",
}

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


def bench_bars(comparison: Comparison, folder: Path, last: date, first: date, rounds: int) -> None:
    """Load the bars and merge the delta with our code and with the peers, in turns."""
    place = folder / "given"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    given = write_bars(place, last, first)
    _say(f"{given.received:,} bars received since {first}, {given.distinct[1]:,} of symbol and day")
    for number in range(1, rounds + 1):
        _say(f"bars, round {number} of {rounds}: ours")
        our_round(comparison, given, folder)
        for peer in MERGING:
            if peer.name not in comparison.skipped:
                _say(f"bars, round {number} of {rounds}: {peer.name}")
                try:
                    peer_round(comparison, peer, given, folder)
                except NotComparableError as reason:
                    _say(f"{peer.name} is left out: {reason}")
                    comparison.skipped[peer.name] = str(reason)


def bench_fetching(comparison: Comparison, folder: Path, last: date, rounds: int) -> dict[str, Any]:
    """Fetch with our code and with yfinance, in turns; then fetch at the limit that Kite documents."""
    with providers("--first", str(last - timedelta(days=2000)), "--last", str(last)) as address:
        for number in range(1, rounds + 1):
            _say(f"fetching, round {number} of {rounds}")
            fetching_round(comparison, address, last, folder)
        _say("fetching at Kite's limit")
        limits = {name: getattr(Limits(), name) for name in ("kite_candles", "kite_others")}
        slow = [{"source": "kite", "kind": "latency", "seconds": LATENCY}]
        simulate(address, faults=slow, limits=limits)
        place = folder / "limited"
        shutil.rmtree(place, ignore_errors=True)
        environment = unlimited(place, address) | {"KITE_REQUESTS_PER_SECOND": str(limits["kite_candles"])}
        requests, ended = _fetched(environment, "--source", "kite")
        seconds = ended.report["seconds"]["kite"]
        # A request that was too fast is repeated, and the log says so.
        refused = sum("Kite answered 429" in line for line in ended.log.splitlines())
    return {"requests": requests, "seconds": seconds, "ratio": seconds * limits["kite_candles"] / requests} | {
        "too_fast": refused
    }


def bench_memory(folder: Path, last: date, first: date) -> dict[str, Any]:
    """Fetch and land all years from Kite, as fast as possible."""
    _say("a backfill, for its memory")
    with providers("--first", str(first), "--last", str(last)) as address:
        simulate(address, limits={"kite_candles": 1_000_000, "kite_others": 1_000_000})
        place = folder / "backfill"
        shutil.rmtree(place, ignore_errors=True)
        requests, ended = _fetched(unlimited(place, address), "--source", "kite", "--from", str(first))
    rows = ended.report["landed_rows"]["kite_daily_bars"]
    return {"requests": requests, "rows": rows, "seconds": ended.seconds, "megabytes": ended.own_peak}


def _fetched(environment: dict[str, str], *arguments: str) -> tuple[int, Ended]:
    """Fetch with a command; return the number of requests for bars, and the command's measurements."""
    (plan,) = run("extract", environment, *arguments, "--dry-run", "--json").report["plan"]
    # One symbol of the simulated market is not served by Kite, which is why a run ends with 3.
    return plan["requests"] - 1, run("extract", environment, *arguments, "--json", expected=(3,))


def bench_quotes(folder: Path, first: date) -> dict[str, Any]:
    """Fetch today's bar of all symbols into the warehouse of all years that ``bench_builds`` left, and build."""
    _say("quotes")
    with providers("--first", str(first)) as address:
        environment = settings_of(folder / "full") | address | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN}
        # Not measured: the first run after a replay builds everything, if the project has changed meanwhile.
        run("run", environment, "--mode", "quotes", "--json", expected=(0, 3))
        began = time.time()
        ended = run("run", environment, "--mode", "quotes", "--json", expected=(0, 3))
    lines = [json.loads(line) for line in ended.log.splitlines() if line.startswith("{")]
    landed = [datetime.fromisoformat(line["time"]).timestamp() for line in lines if line["message"] == "batch landed"]
    assert ended.report["landed_rows"]["kite_quotes"] > 200
    return {"in_raw_seconds": min(landed) - began, "built_and_tested_seconds": ended.seconds}


def bench_reading(comparison: Comparison, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Read the warehouse of all years that ``bench_builds`` left: all bars into a file, and those of one symbol."""
    place = folder / "full"
    if not (place / "warehouse").is_dir():
        raise SystemExit(f"{place} has no warehouse: run the part `builds` first")
    measured = []
    for number in range(1, rounds + 1):
        _say(f"reading, round {number} of {rounds}")
        measured.append(reading_round(comparison, place))
    return measured


def bench_builds(folder: Path, last: date, first: date) -> dict[str, Any]:
    """Build all years, and the last quarter of them; then each again after one session, and after restatements."""
    sessions = trading_sessions(first, last)
    histories = {"quarter": sessions[3 * len(sessions) // 4].trade_date, "full": first}
    results: dict[str, Any] = {}
    for name, since in histories.items():
        _say(f"builds: since {since}")
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)
        environment = settings_of(place)
        archive = Archive(environment["ARCHIVE_URI"])
        write_market(archive, first=since, last=last)
        held_out = _hold_out_last_run(place)
        ended = {"full_replay_and_build": run("replay", environment)}
        for path, place_in_archive in held_out.items():
            path.rename(place_in_archive)
        run("replay", environment, "--no-build")
        ended["incremental_build"] = run("build", environment)
        _restate(archive)
        run("replay", environment, "--no-build")
        ended["restatement_build"] = run("build", environment)
        with open_warehouse(Settings.from_environment(environment)) as warehouse:
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
            **{f"{what}_seconds": command.seconds for what, command in ended.items()},
            "peak_process_megabytes": max(command.largest_peak for command in ended.values()),
            "query_seconds": queries,
        }
    results["incremental_full_to_quarter_ratio"] = (
        results["full"]["incremental_build_seconds"] / results["quarter"]["incremental_build_seconds"]
    )
    return results


def _hold_out_last_run(place: Path) -> dict[Path, Path]:
    """Move the batches of the last day out of the archive; return the new place of each, with its original place."""
    days = {path.parent.name for path in (place / "archive").glob("*/extracted_on=*/*.parquet")}
    held_out = {}
    for path in (place / "archive").glob(f"*/{max(days)}/*.parquet"):
        outside = place / f"{path.parts[-3]}-{path.name}"
        path.rename(outside)
        held_out[outside] = path
    return held_out


def _restate(archive: Archive) -> None:
    """Archive the whole history of five symbols once more, as Kite sends it after a split of one share into two."""
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


def _seconds(warehouse: Any, sql: str) -> float:
    began = time.monotonic()
    rows = list(warehouse.query(sql))
    assert rows
    return time.monotonic() - began


def _say(what: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {what}\n")
    sys.stderr.flush()


def _show_comparison(comparison: Comparison) -> None:
    table = Table("", "seconds", "× ours", "least", "most", "rounds", title="Ours and others, medians", box=None)
    does = {}
    what = ""
    for line in comparison.lines():
        if line.what != what:
            what = line.what
            table.add_row(what)
        times = (statistics.median(line.ratios), min(line.ratios), max(line.ratios))
        ratios = ("", "", "") if line.who == "ours" else [f"{ratio:.2f}" for ratio in times]
        table.add_row(f"  {line.who}", f"{statistics.median(line.seconds):.2f}", *ratios, str(len(line.seconds)))
        does[line.who, line.does] = f"{line.who}: {line.does}"
    _console.print(table)
    for text in does.values():
        _console.print(text, markup=False)
    for name, reason in comparison.skipped.items():
        _console.print(f"Left out: {name}, which {reason}", markup=False)
    for line in comparison.lines():
        if line.who == "dlt, delete-insert" and line.what in ("load: the work itself", "delta: of it in the warehouse"):
            _console.print(f"{line.what}: dlt took {statistics.median(line.ratios):.2f} × ours (target: above 1).")
        if line.who == "ours" and line.what == "fetch: the work itself":
            seconds = statistics.median(line.seconds)
            _console.print(f"{line.what}: ours took {seconds:.1f} s for 250 symbols at 100 ms (target: at most 6).")


def _show_builds(builds: dict[str, Any]) -> None:
    table = Table("", "quarter", "full", title="Simulated prices, real sizes, embedded warehouse")
    rows = {
        "bars received": "received_bars",
        "bars in the mart": "bars",
        "full replay and build, s": "full_replay_and_build_seconds",
        "build after one more session, s": "incremental_build_seconds",
        "build after five whole histories were restated, s": "restatement_build_seconds",
        "largest process, MB": "peak_process_megabytes",
    }
    for label, key in rows.items():
        table.add_row(label, *(f"{builds[name][key]:,.1f}".removesuffix(".0") for name in ("quarter", "full")))
    for what in _QUERIES:
        label = f"query: {what}, s"
        table.add_row(label, *(f"{builds[name]['query_seconds'][what]:.2f}" for name in ("quarter", "full")))
    _console.print(table)
    ratio = builds["incremental_full_to_quarter_ratio"]
    _console.print(
        f"A build after one more session takes {ratio:.2f} × as long on four times the history (target: at most 1.1)."
    )


def _show_results(comparison: Comparison, results: dict[str, Any], first: date) -> None:
    if comparison.lines() or comparison.skipped:
        _show_comparison(comparison)
    if limited := results.get("at_limit"):
        _console.print(
            f"At Kite's limit: {limited['requests']} requests in {limited['seconds']:.1f} s, {limited['ratio']:.3f} ×"
            f" what it allows (target: at most 1.05), {limited['too_fast']} of them refused as too fast."
        )
    if backfill := results.get("backfill"):
        _console.print(
            f"A backfill since {first}: {backfill['rows']:,} bars in {backfill['seconds']:.1f} s; the extractor was"
            f" {backfill['megabytes']:.0f} MB at its largest (target: at most 300)."
        )
    if "builds" in results:
        _show_builds(results["builds"])
        quotes = results["quotes"]
        _console.print(
            f"Quotes of all symbols: in raw {quotes['in_raw_seconds']:.1f} s after the start of the command,"
            f" built and tested after {quotes['built_and_tested_seconds']:.1f} s."
        )
    if reading := results.get("reading"):
        ours, client = (max(measured[f"{who}_megabytes"] for measured in reading) for who in ("ours", "client"))
        _console.print(
            f"The export of {reading[0]['rows']:,} bars: {ours:.0f} MB at its largest, the client {client:.0f} MB"
            " (target: at most 500 MB and 15 s). One symbol: the target is at most 0.3 s."
        )


def main() -> int:
    """Run the benchmark, or parts of it, and print it as tables, and as JSON on the last line."""
    parser = argparse.ArgumentParser(description="Measure what the pipeline takes, and what others take.")
    parser.add_argument("--folder", type=Path, default=PROJECT_DIR / ".bench")
    parts = "; ".join(f"{name}: {text}" for name, text in _PARTS.items())
    parser.add_argument("--only", default=",".join(_PARTS), metavar="A,B", help=f"{parts} (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of what is compared (default: %(default)s)")
    parser.add_argument(
        "--first", type=date.fromisoformat, metavar="DAY", help="begin all histories here, to try the benchmark itself"
    )
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    folder = options.folder.absolute()
    last = last_closed_session(datetime.now(UTC))
    first = options.first or _FIRST
    comparison = Comparison()
    results: dict[str, Any] = {}
    if "bars" in chosen:
        bench_bars(comparison, folder, last, options.first or given_bars.FIRST, options.rounds)
    if "fetching" in chosen:
        results["at_limit"] = bench_fetching(comparison, folder, last, options.rounds)
    if "memory" in chosen:
        results["backfill"] = bench_memory(folder, last, first)
    if "builds" in chosen:
        results["builds"] = bench_builds(folder, last, first)
        results["quotes"] = bench_quotes(folder, first)
    if "reading" in chosen:
        results["reading"] = bench_reading(comparison, folder, options.rounds)
    results["comparison"] = [asdict(line) for line in comparison.lines()]
    results["left_out"] = comparison.skipped
    _show_results(comparison, results, first)
    sys.stdout.write(json.dumps(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
