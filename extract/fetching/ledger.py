"""The ledger of requests, and what it says about a run."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime

# From the best to the worst.
_OUTCOMES = ("ok", "empty", "skipped", "unavailable", "refused")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row of the ledger: what became of one symbol's request; see the source ``extract_requests``."""

    source_id: str
    raw_table: str
    symbol: str | None
    outcome: str
    error_class: str | None
    message: str | None
    attempts: int
    elapsed_ms: int
    row_count: int
    first_date: date | None
    last_date: date | None
    asked_from: date
    asked_to: date
    is_daily: bool
    requested_at: datetime


@dataclass(slots=True)
class Extraction:
    """What a run asked for, and the results.

    Attributes:
        run_id: on every row, ledger entry and log line of the run.
        entries: the ledger, in the order of the answers.
        landed_rows: the number of rows that raw did not hold before, by raw table; withdrawals included.
        withdrawn_bars: the number of rows among them that say that a source no longer sends a bar.
        stopped: the reason why a source was given up, by source.
        seconds: from a source's first request to its last answer, by source.
        parts: the number of batches written, by raw table.
        requests: the number of requests sent, by source; one may be for many symbols, and a symbol may need several.
        failed_requests: how many of these were refused or not answered.
    """

    run_id: str
    entries: list[LedgerEntry] = field(default_factory=list)
    landed_rows: Counter[str] = field(default_factory=Counter)
    withdrawn_bars: int = 0
    stopped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    parts: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    failed_requests: Counter[str] = field(default_factory=Counter)

    def served(self, due: date) -> set[str]:
        """The symbols for which some source sent the bar of the due session, or a later one."""
        return {entry.symbol for entry in self.entries if entry.symbol and _reaches(entry, due)}

    def outcomes(self) -> dict[str, Counter[str]]:
        """The number of symbols by source and outcome; if a symbol was requested several times, the worst counts."""
        worst: dict[tuple[str, str], str] = {}
        for entry in self.entries:
            if entry.symbol:
                outcomes = (entry.outcome, worst.get((entry.source_id, entry.symbol), entry.outcome))
                worst[entry.source_id, entry.symbol] = max(outcomes, key=_OUTCOMES.index)
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        for (source_id, _), outcome in worst.items():
            counted[source_id][outcome] += 1
        return counted

    def failures(self) -> list[LedgerEntry]:
        """The entries of the requests that were not answered with rows."""
        return [entry for entry in self.entries if entry.outcome != "ok"]

    def late(self, due: date) -> dict[str, list[str]]:
        """The symbols for which a source answered, but without the bar of the due session, by source."""
        late: dict[str, list[str]] = defaultdict(list)
        for entry in self.entries:
            if entry.symbol and entry.outcome == "ok" and entry.asked_to >= due and not _reaches(entry, due):
                late[entry.source_id].append(entry.symbol)
        return late


def _reaches(entry: LedgerEntry, due: date) -> bool:
    return entry.outcome == "ok" and entry.last_date is not None and entry.last_date >= due
