"""What was asked for and did not come, in sentences."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from extract.fetching.connected import asked_sources, expected_sources
from extract.fetching.holes import read_holes, told
from extract.fetching.ledger import LedgerEntry
from extract.fetching.plan import deep_window
from extract.fetching.run import Job
from extract.seeds import FIRST_DAY


def shortfalls(job: Job, asked: tuple[date, date] | None = None) -> list[str]:
    """What was asked for and did not come, a sentence each; empty if nothing is missing.

    The third opinion does not count: it has a budget, and is asked again.

    Args:
        job: what was asked for.
        asked: the range that was asked for; None for what is new.
    """
    extraction, due = job.extraction, job.due
    order = expected_sources(job.settings)
    found = assumed_sessions(asked[1] if asked else due, job.calendar_ends_on)
    found += [f"{source}: given up. {reason}" for source, reason in extraction.stopped.items() if source in order]
    by_reason: dict[tuple[str, str, str], list[LedgerEntry]] = {}
    for entry in extraction.failures():
        if entry.source_id in order and entry.message != extraction.stopped.get(entry.source_id):
            by_reason.setdefault((entry.source_id, entry.outcome, str(entry.message)), []).append(entry)
    for (source, outcome, said), entries in by_reason.items():
        found.append(f"{source}: {outcome} for {_names([str(e.symbol or e.raw_table) for e in entries])}. {said}")
    for source, symbols in extraction.late(due).items():
        if source in order:
            found.append(f"{source}: answered without the bar of {due} for {_names(symbols)}")
    # A source that was not asked has sent the bar before.
    pairs = {(e.source_id, e.symbol) for e in extraction.entries if e.source_id in order and e.asked_to >= due}
    times_asked = Counter(symbol for _, symbol in pairs)
    served = extraction.served(due)
    unserved = [
        i.symbol
        for i in job.instruments
        if times_asked[i.symbol] >= len(order) and i.symbol not in served and i.is_listed(due)
    ]
    if unserved:
        found.append(f"no source sent the bar of {due} for {_names(unserved)}")
    return [*found, *(f"refused {path}: {reason}" for path, reason in job.refused.items())]


def assumed_sessions(last: date, ends_on: date) -> list[str]:
    """A sentence that sessions were assumed, and what to do; empty if the calendar reaches the last day asked for."""
    if last <= ends_on:
        return []
    year = ends_on.year + 1
    return [
        f"the trading calendar ends on {ends_on}: each weekday after it, to {last}, is assumed to be a session."
        f" Download the exchange's list of the holidays of {year}, and type: trading-data import FILE"
    ]


def holes_left(job: Job, source: str, asked: tuple[date, date] | None, since: datetime) -> list[str]:
    """Sentences about the sessions for which a source was asked for bars and has not sent them.

    Args:
        job: what was asked for.
        source: the source that was asked; ``auto`` for all that serve bars.
        asked: the range that was asked for; None for what is new, with the older holes that were due.
        since: when the run began; of older holes, only those count that were asked for since.

    Raises:
        PipelineError: the warehouse failed.
    """
    first, last = asked or (FIRST_DAY, deep_window(job.due) - timedelta(days=1))
    holes = read_holes(job.warehouse(), asked_sources(job.settings, source), job.instruments, first, last)
    # ``shortfalls`` reports these already.
    empty = {(entry.source_id, entry.symbol) for entry in job.extraction.failures()}
    return told(
        hole for hole in holes if (hole.source_id, hole.symbol) not in empty and (asked or hole.last_asked_at >= since)
    )


def _names(symbols: Sequence[str]) -> str:
    shown = ", ".join(symbols[:8])
    return f"{len(symbols)} symbols ({shown}, ...)" if len(symbols) > 8 else shown
