"""Fetching 250 symbols, ours from the simulated Kite and yfinance from the simulated Yahoo, at one latency."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

from extract.seeds import listed_instruments
from infra.bench.command import run, settings_of
from infra.bench.compare import LOOP, THREADS, Comparison, NotComparableError, connected, run_peer
from infra.bench.peer import TABLE
from infra.local import warehouse as embedded
from infra.local.demo import simulate
from infra.local.providers import ACCESS_TOKEN

LATENCY = 0.1

# One request to Kite spans at most 1,990 days, so each source is asked for this range.
_DAYS = 1985
_UNLIMITED = 10_000
_NO_LIMITS = {"kite_candles": _UNLIMITED, "kite_others": _UNLIMITED, "yahoo": _UNLIMITED}

# Each provider serves all symbols of the market but one.
_SERVED = len(listed_instruments()) - 1


def fetching_round(comparison: Comparison, address: dict[str, str], last: date, folder: Path) -> None:
    """Fetch the same days and symbols with our code and with yfinance, into empty warehouses, without rate limits."""
    slow = [{"source": source, "kind": "latency", "seconds": LATENCY} for source in ("kite", "yahoo")]
    simulate(address, faults=slow, limits=_NO_LIMITS)
    first = last - timedelta(days=_DAYS)
    environment = unlimited(folder / "fetching", address)
    shutil.rmtree(folder / "fetching", ignore_errors=True)
    days = ("--from", str(first), "--to", str(last))
    # One symbol of the simulated market is not served by Kite, which is why a run ends with 3.
    ended = run("extract", environment, "--source", "kite", *days, "--json", expected=(3,))
    bars = ended.report["landed_rows"]["kite_daily_bars"]
    comparison.note("ours", "fetch: the work itself", "Kite, eight at once", ended.report["seconds"]["kite"])
    comparison.note("ours", "fetch: the whole command", "and archive, and load; process start", ended.seconds)
    for peer in (THREADS, LOOP):
        if peer.name in comparison.skipped:
            continue
        try:
            place = folder / "peer"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            asked = place / "asked.json"
            tickers = [instrument.yahoo_ticker for instrument in listed_instruments()]
            asked.write_text(
                json.dumps({"tickers": tickers, "start": str(first), "end": str(last + timedelta(days=1))})
            )
            with embedded.running(place / "warehouse") as warehouse_address:
                client = connected(warehouse_address)
                yahoo = {"YAHOO_BASE_URL": address["YAHOO_BASE_URL"]}
                seconds, whole = run_peer(peer, "fetch", asked, folder, warehouse_address, **yahoo)
                counted = f"select count(*) as bars, count(distinct ticker) as tickers from {TABLE}"
                (found,) = client.query_and_wait(counted)
            _check(found["tickers"], found["bars"], bars)
        except NotComparableError as reason:
            comparison.skipped[peer.name] = str(reason)
            continue
        comparison.note(peer.name, "fetch: the work itself", peer.does, seconds)
        comparison.note(peer.name, "fetch: the whole command", f"{peer.does}; process start", whole)


def _check(symbols: int, bars: int, ours: int) -> None:
    # Each provider lacks some days that the other has.
    if symbols != _SERVED or abs(bars / ours - 1) > 0.01:
        raise NotComparableError(f"left {bars:,} bars of {symbols} symbols; ours {ours:,}")


def unlimited(place: Path, address: dict[str, str]) -> dict[str, str]:
    """The settings of a command that sends requests to the simulated providers as fast as it can."""
    pace = {"KITE_REQUESTS_PER_SECOND": str(_UNLIMITED), "YAHOO_REQUESTS_PER_SECOND": str(_UNLIMITED)}
    return settings_of(place) | address | pace | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN}
