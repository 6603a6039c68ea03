"""Answers that lack bars: those that never came, those that a provider withdraws, and answers that are cut short."""

import os
import random
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from extract.fetching import holes as holes_module
from extract.fetching import received as received_module
from extract.fetching.holes import read_holes
from extract.fetching.received import Received
from extract.fetching.run import Job, fetch, range_plan
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE
from extract.settings import Settings
from extract.warehouse.connection import Warehouse, open_warehouse
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, Limits, Providers, environment, serving
from infra.local.series import Draft
from infra.local.warehouse import running
from infra.soak.outcome import Outcome
from infra.soak.places import FIRST, LAST, SYMBOLS, job_at

BROKEN = ("unheld", "unwithdrawn", "gullible", "forgetful")

_MORNING = datetime(2025, 1, 1, 8, 30, tzinfo=EXCHANGE_ZONE)

# Within a week, because a hole that is older is settled after three answers.
_ROUNDS = 6

# A provider withdraws single bars; an answer that is cut short lacks many. An answer that lacks 4 to 7 of the bars that
# came before is drawn again, because it could be either.
_WITHDRAWN, _SHORT, _BETWEEN = (1, 3), (12, 30), range(4, 8)

_FAST = Limits(kite_candles=1000, kite_quotes=1000, kite_others=1000)


@dataclass(slots=True)
class _Expected:
    """What raw must hold of one symbol.

    Attributes:
        is_sent: by day, whether the last row is a bar; False if it withdraws the bar.
        row_counts: by day, how many rows.
    """

    is_sent: dict[date, bool] = field(default_factory=dict)
    row_counts: Counter[date] = field(default_factory=Counter)

    def gone(self, days: set[date]) -> set[date]:
        """What an answer with the bars of these days lacks, between its first and last, of those that came before."""
        return {day for day, is_sent in self.is_sent.items() if is_sent and min(days) < day < max(days)} - days

    def take(self, days: set[date]) -> str:
        """Take an answer with the bars of these days; return what kind of answer it is."""
        gone = self.gone(days)
        withdrawn = gone if len(gone) <= _WITHDRAWN[1] else set()
        for day in days:
            self._note(day, is_sent=True)
        for day in withdrawn:
            self._note(day, is_sent=False)
        return "withdrawn" if withdrawn else "short" if gone else "whole"

    def _note(self, day: date, *, is_sent: bool) -> None:
        if self.is_sent.get(day) is not is_sent:
            self.is_sent[day] = is_sent
            self.row_counts[day] += 1


def answers(count: int, seed: int, broken: str | None) -> Outcome:
    """Let Kite's answers lack bars, and compare raw and the reported holes with what came."""
    outcome = Outcome("answers", broken, seed)
    drawn = random.Random(seed)  # noqa: S311
    market = draft_market(first=FIRST, last=LAST, symbols=SYMBOLS)
    with ExitStack() as leave:
        folder = Path(leave.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        providers = Providers(market, limits=_FAST)
        address = leave.enter_context(serving(providers))
        host = leave.enter_context(running(folder / "warehouse"))
        leave.enter_context(_taken_out(broken))
        while outcome.count < count:
            name = uuid.uuid4().hex[:12]
            own = environment(address) | {
                "BIGQUERY_DATASET": f"soak_{name}",
                "BIGQUERY_EMULATOR_HOST": host,
                "ARCHIVE_URI": str(folder / name),
                "KITE_ACCESS_TOKEN": ACCESS_TOKEN,
                "KITE_REQUESTS_PER_SECOND": "1000",
            }
            with patch.dict(os.environ, own), open_warehouse(settings := Settings.from_environment(own)) as warehouse:
                warehouse.create_raw()
                _episode(settings, warehouse, providers, drawn, outcome)
                warehouse.client.delete_dataset(warehouse.raw, delete_contents=True, timeout=60)
    return outcome


def _episode(
    settings: Settings, warehouse: Warehouse, providers: Providers, drawn: random.Random, outcome: Outcome
) -> None:
    market = providers.market
    sessions = [session.trade_date for session in market.sessions]
    expected = {symbol: _Expected() for symbol in SYMBOLS}
    archive = Archive(settings.archive_uri)
    for number in range(_ROUNDS):
        now = _MORNING + timedelta(days=number)
        providers.clock = lambda now=now: now  # type: ignore[misc]
        job = job_at(now, settings, archive, warehouse)
        for symbol in SYMBOLS:
            sent = {*sessions}
            while sent == {*sessions} or len(expected[symbol].gone(sent)) in _BETWEEN:
                sent = {*sessions}.difference(
                    drawn.sample(sessions, drawn.randint(*drawn.choice((_WITHDRAWN, _SHORT))))
                )
            _send(market, symbol, sent)
            outcome.told[expected[symbol].take(sent)] += 1
            outcome.count += 1
        fetch(job, range_plan(job, "kite", FIRST, LAST, again=True))
        outcome.findings += _differences(warehouse, expected)
        outcome.findings += _hidden(job, expected, sessions)


def _send(market: Draft, symbol: str, days: set[date]) -> None:
    (row,) = [n for n, instrument in enumerate(market.instruments) if instrument.symbol == symbol]
    market.kite.is_sent[row] = [session.trade_date in days for session in market.sessions]


def _differences(warehouse: Warehouse, expected: dict[str, _Expected]) -> Iterator[str]:
    """What raw has lost, holds twice, or does not say of a withdrawal."""
    found = {
        (row["symbol"], row["day"]): (row["row_count"], row["is_sent"])
        for row in warehouse.query(
            f"""
            select
                symbol,
                date(date, 'Asia/Kolkata') as day,
                count(*) as row_count,
                array_agg(close > 0 order by _extracted_at desc limit 1)[offset(0)] is true as is_sent
            from `{warehouse.raw}.{KITE_DAILY_BARS.name}`
            group by symbol, day
            """
        )
    }
    for symbol, state in expected.items():
        for day, row_count in state.row_counts.items():
            wanted, has = (row_count, state.is_sent[day]), found.pop((symbol, day), (0, False))
            if has != wanted:
                yield f"{symbol} of {day}: (rows, is sent) is {has} and not {wanted}"
    for symbol, day in found:
        yield f"{symbol} of {day}: a row, and nothing was sent"


def _hidden(job: Job, expected: dict[str, _Expected], sessions: list[date]) -> Iterator[str]:
    """The sessions that never came, or were withdrawn, and are not reported as holes."""
    holes = read_holes(job.warehouse(), ["kite"], job.instruments, FIRST, LAST)
    for symbol, state in expected.items():
        missing = len({*sessions} - {day for day, is_sent in state.is_sent.items() if is_sent})
        reported = sum(hole.session_count for hole in holes if hole.symbol == symbol and not hole.is_settled)
        if reported != missing:
            yield f"{symbol}: {missing} sessions are missing, and {reported} are reported"


@contextmanager
def _taken_out(broken: str | None) -> Iterator[None]:
    """Take out one defence, if one is named."""
    with ExitStack() as leave:
        if broken == "unheld":
            leave.enter_context(patch.object(Received, "new_rows", lambda _, rows, *__: rows))
        elif broken == "unwithdrawn":
            leave.enter_context(patch.object(Received, "_withdrawn_days", lambda *_: []))
        elif broken == "gullible":
            leave.enter_context(patch.object(received_module, "_FEW_WITHDRAWN", 10_000))
        elif broken == "forgetful":
            leave.enter_context(patch.object(holes_module, "_ASKED_TIMES", 0))
            leave.enter_context(patch.object(holes_module, "_ASKED_OVER", timedelta(0)))
        yield
