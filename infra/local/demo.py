"""``make demo``: the scheduled job, through the real clients, against simulated providers, one of which fails."""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from extract.errors import USAGE
from extract.seeds import last_closed_session
from extract.settings import PROJECT_DIR, past_proxies
from infra.local.daily_records import middle_of, write_daily_records
from infra.local.exchange_lists import write_actions, write_index_lists
from infra.local.market import draft_market
from infra.local.series import ex_date_of
from infra.local.warehouse import stop

# A folder with this file is the demo's own: the next demo deletes it with all that it holds.
_MARK = "made-by-the-demo"

_console = Console(highlight=False, soft_wrap=True)

# Settings that the user may have in the environment, and that a demo must not use.
_NOT_OURS = ("BIGQUERY_", "KITE_", "YAHOO_", "ALPHA_VANTAGE_", "SECRET_MANAGER_")

# How much the limits of the simulated providers are raised: the demo would wait five minutes for one minute of work.
_FASTER = 60
_LIMITS = {"kite_candles": 3 * _FASTER, "kite_others": 10 * _FASTER, "yahoo": 2 * _FASTER}

# Kite's session ends after this many answers.
_ANSWERS_BEFORE_THE_END = 120

_RESTATEMENTS = (
    "select symbol, kind, round(price_ratio, 4) as ratio, bar_count as bars, first_trade_date, ex_date"
    " from trading_data.fct_price_restatements"
)

_JUDGED = (
    "select source_id, sum(exchange_overlap_count) as bars, sum(exchange_level_count) as closes_alike,"
    " sum(exchange_agreeing_return_count) as returns_alike from trading_data_quality.quality_source_agreement"
    " where exchange_overlap_count > 0 group by source_id order by source_id"
)

_SEAMS = (
    "select trade_date, source_id, close, is_valid, failed_checks from trading_data.fct_daily_bars"
    " where symbol = 'TCS' and 'has_explained_return' in unnest(failed_checks) order by trade_date"
)

_ACTIONS = (
    "select symbol, ex_date, kind, share_ratio, dividend_amount as rupees, status, status_reason"
    " from trading_data.fct_corporate_actions order by ex_date, symbol"
)

# Prices of a day under the symbol of that day: those of shares that have left the exchange come first.
_NAMES = (
    "select traded.symbol as traded_as, instruments.symbol as symbol_today, max(traded.trade_date) as last_day,"
    " count(*) as sessions from trading_data.fct_traded_shares as traded left join trading_data.dim_instruments as"
    " instruments on traded.instrument_id = instruments.instrument_id where instruments.symbol is null or"
    " traded.symbol != instruments.symbol group by traded_as, symbol_today order by symbol_today, traded_as limit 5"
)

_LEARNT = (
    ("What the sources and the exchange's list say of splits and dividends, and how far each is believed:", _ACTIONS),
    (
        "Where the exchange's daily record was imported, it is the bar. So it also says how well each provider agrees"
        " with it. (The first bar of a stretch has no return.)",
        _JUDGED,
    ),
    (
        "The record has each share under its symbol of that day. A share that was renamed has one series, under today's"
        " symbol. A share that has left the exchange has none today, and no provider sends its past; the record and the"
        " older list of the index have it, so that a study of that time need not leave it out:",
        _NAMES,
    ),
)

# The exchange's record is written for so many days before and after each planted action, and each change of a name.
_RECORDED_DAYS = 4

_NEXT = (
    (
        "one symbol's last bars, with their source and score",
        "select trade_date, close, round(100 * daily_return, 2) as percent, source_id, quality_score, is_provisional"
        " from trading_data.daily_bars where symbol = 'RELIANCE' order by trade_date desc limit 5",
    ),
    (
        "what was known of one bar, and from when to when",
        "select close, volume, is_provisional, known_from, known_to from trading_data.fct_daily_bar_revisions where"
        " symbol = 'TCS' and source_id = 'kite' and trade_date = (select min(trade_date) from trading_data.daily_bars"
        " where symbol = 'TCS') order by known_from",
    ),
    (
        "the ledger: what each run asked for, and what came",
        "select run_id, source_id, symbol_count, ok_count, refused_count, skipped_count, failure_message"
        " from trading_data_operations.operations_extractions order by started_at",
    ),
    (
        "what the checks found, by source",
        "select check_id, source_id, severity, count(*) as bars from trading_data_quality.quality_bar_checks"
        " where status = 'failed' group by check_id, source_id, severity order by bars desc",
    ),
)


def demo(folder: Path) -> int:  # noqa: C901 The story, step by step.
    """Import files; run the job, in which Kite's login ends; run it again; then let Kite rewrite one share's past."""
    if folder.exists() and not (folder / _MARK).exists() and (not folder.is_dir() or any(folder.iterdir())):
        _console.print(f"{folder} is not empty, and no demo made it: name another folder.", markup=False, style="red")
        return USAGE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()
    _tell("The simulated providers start ...")
    with providers("--first", _first_day().isoformat()) as address, _stopping(folder / "warehouse"):
        ours = {
            "WAREHOUSE_DIR": str(folder / "warehouse"),
            "ARCHIVE_URI": str(folder / "archive"),
            # One warehouse serves all commands; it is stopped at the end.
            "WAREHOUSE_IDLE_SECONDS": "600",
            "KITE_TOKEN_STORE": str(folder / "kite-session.json"),
            "KITE_REQUESTS_PER_SECOND": str(3 * _FASTER),
            "YAHOO_REQUESTS_PER_SECOND": str(_FASTER),
        }
        environment = _inherited() | address | ours
        simulate(address, limits=_LIMITS, request_tokens=["morning", "evening"])
        _tell(
            "The exchange's own files, as a person downloads them: a list of corporate actions, two lists of the index,"
            " and the daily records of some sessions. They are loaded now, and built by the run after it:"
        )
        _write_files(folder / "exchange")
        if status := _run(environment, "import", "--no-build", str(folder / "exchange")):
            return status
        _tell(
            f"Kite, Yahoo and Alpha Vantage are simulated, at {_FASTER} times their limits. A person logs in to Kite:"
        )
        if status := _run(environment, "kite-login", "morning"):
            return status
        simulate(address, faults=[{"source": "kite", "kind": "dead_token", "after": _ANSWERS_BEFORE_THE_END}])
        _tell(
            "The scheduled job, in a warehouse that is empty. It fetches all symbols and builds every model: the"
            " longest step. In the middle of it, Kite's session ends:"
        )
        status = _run(environment, "run")
        if status != 3:
            return status or 1
        _tell("Exit status 3: done, but degraded. Yahoo has served what Kite did not. Is the data there?")
        _run(environment, "status")
        simulate(address, faults=[])
        _tell("The person who was called logs in and runs the job again. It asks only for what is missing:")
        if status := _run(environment, "kite-login", "evening"):
            return status
        status = _run(environment, "run")
        if status != 3:
            return status or 1
        for text, sql in _LEARNT:
            _tell(text)
            if status := _run(environment, "query", sql):
                return status
        simulate(address, faults=[{"source": "kite", "kind": "restated_history", "symbols": ["TCS"]}])
        _tell(
            "Kite sends the past of TCS at half the price, as after a split. The last months are fetched again and"
            " show it. So everything before them is fetched again too, and Kite's series stays on one scale:"
        )
        months_ago = datetime.now(UTC).date() - timedelta(days=150)
        arguments = ("--source", "kite", "--symbols", "TCS", "--from", months_ago.isoformat(), "--again")
        if status := _run(environment, "backfill", *arguments):
            return status
        if status := _run(environment, "query", _RESTATEMENTS):
            return status
        _tell(
            "No other source reports a split, so none is applied. Kite is now on another scale than the exchange's"
            " record, and the days on which the one follows the other are refused:"
        )
        if status := _run(environment, "query", _SEAMS):
            return status
        _tell(
            "The symbols that are still reported as missing were left out on purpose: Kite does not serve one, and"
            " Yahoo does not serve another."
            " The prices are simulated: every series starts at 100.00 and walks at random, on the real sessions of the"
            " exchange."
        )
    _console.print("\nTry next:", style="bold")
    exported = ["export", f"WAREHOUSE_DIR={folder}/warehouse", f"ARCHIVE_URI={folder}/archive"]
    _console.print(f"  {shlex.join(exported)}", markup=False)
    for text, sql in _NEXT:
        _console.print(f"  # {text}", style="dim", markup=False)
        # In double quotes, because the SQL contains single quotes, which shlex would escape.
        _console.print(f'  .venv/bin/trading-data query "{sql}"', markup=False)
    _console.print("  # the dashboard, at the address that it prints; the token is demo", style="dim", markup=False)
    _console.print("  API_TOKEN=demo .venv/bin/trading-data serve", markup=False)
    return 0


def _first_day() -> date:
    """The first day of the simulated market, which has all symbols and a year and a half of sessions."""
    return datetime.now(UTC).date() - timedelta(days=550)


def _write_files(folder: Path) -> None:
    """Write the exchange's files on the simulated providers' market: the same days give the same market."""
    market = draft_market(first=_first_day(), last=last_closed_session(datetime.now(UTC)))
    folder.mkdir()
    write_actions(market, folder)
    write_index_lists(market, folder, market.sessions[0].trade_date, market.sessions[-1].trade_date)
    around = timedelta(days=_RECORDED_DAYS)
    for day in {ex_date_of(action) for action in market.corporate_actions} | {middle_of(market)}:
        write_daily_records(market, folder, day - around, day + around, has_delisted=True)


@contextmanager
def _stopping(data_dir: Path) -> Iterator[None]:
    """Stop the warehouse at the end of the block."""
    try:
        yield
    finally:
        stop(data_dir)


def simulate(address: Mapping[str, str], **wanted: Any) -> None:
    """Tell the simulated providers what to do; see ``infra.local.providers``."""
    requests.put(f"{address['KITE_BASE_URL']}/simulation", json=wanted, timeout=10).raise_for_status()


@contextmanager
def providers(*arguments: str) -> Iterator[dict[str, str]]:
    """Run the simulated providers in a process of their own; yield the settings that point a command at them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local.providers", *arguments],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        settings: dict[str, str] = {}
        for line in process.stdout:
            if not line.startswith("export "):
                break
            name, _, value = line.removeprefix("export ").strip().partition("=")
            settings[name] = value
        yield settings
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}


def _tell(sentence: str) -> None:
    _console.print(f"\n{sentence}", markup=False)


def _run(environment: Mapping[str, str], *arguments: str) -> int:
    _console.print(f"$ {shlex.join(['trading-data', *arguments])}", style="bold", markup=False)
    command: Sequence[str] = [sys.executable, "-m", "extract", *arguments]
    # The log of requests is for machines; the report has what a person needs.
    log = None if _console.is_terminal else subprocess.DEVNULL
    return subprocess.run(command, env=environment, cwd=PROJECT_DIR, stderr=log, check=False).returncode


def main() -> int:
    """Run the demo; ``make demo`` calls this."""
    past_proxies(os.environ)
    parser = argparse.ArgumentParser(description="Run the job against simulated providers.")
    parser.add_argument(
        "folder",
        type=Path,
        help="a folder of the demo's own, for its archive and warehouse; what an earlier demo left in it is deleted",
    )
    return demo(parser.parse_args().folder.absolute())


if __name__ == "__main__":
    sys.exit(main())
