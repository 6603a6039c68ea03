"""Markets whose corporate actions are announced, moved, withdrawn and retold, made up from a seed.

Each share has a path of closes, and actions. What the exchange's lists, Yahoo's reports and either source's prices say
of an action is drawn apart from whether it comes true, so that they agree, contradict each other, or come late.
"""

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from extract.files.take import take_files
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, NSE_CORPORATE_ACTIONS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, listed_instruments, trading_sessions
from extract.settings import PROJECT_DIR
from tests.conftest import write_bars

# Kite took dividends out of its past by other rules in each; two shares were renamed within one of them.
FIRST_DAYS = (date(2023, 5, 2), date(2024, 5, 2), date(2025, 2, 3), date(2025, 8, 1))
SESSIONS = 110
SHARES_OF_A_SEED = 9
# A share of another company, whose dividends fill a list between those of ours.
OTHER = "INVENTED"
NEVER = 10_000


@dataclass
class Action:
    """A corporate action; days are counted in sessions.

    Attributes:
        kind: split, bonus, dividend or demerger.
        day: on which prices change; NEVER where they do not.
        ratio: shares after it for each share before it; of a demerger, what the price is divided by.
        dividend_yield: of the close before it.
        listed: what the exchange's lists say of it, each from a day on: (from, ex-date, subject); without an ex-date,
            they no longer name it.
        reported: what Yahoo says of it: (from, ex-date, ratio or amount).
        applied_from: from which day on each source's answers have it in their past.
        broken_at: the day before which Yahoo forgets to apply it.
    """

    kind: str
    day: int
    ratio: float = 1.0
    dividend_yield: float = 0.0
    listed: list[tuple[int, int | None, str]] = field(default_factory=list)
    reported: list[tuple[int, int, float]] = field(default_factory=list)
    applied_from: dict[str, int] = field(default_factory=dict)
    broken_at: int = 0


@dataclass
class Share:
    """A share with its closes, in rupees of the shares of the end, and the symbol that it had before a day."""

    symbol: str
    former_symbol: str
    last_used_on: date
    closes: list[float]
    actions: list[Action]
    sources: Sequence[str]
    kite_method: str

    def name(self, day: date) -> str:
        """Its symbol on a day."""
        return self.former_symbol if day <= self.last_used_on else self.symbol

    def traded(self, day: int) -> float:
        """The close of a day as it was traded."""
        close = self.closes[day]
        for action in self.actions:
            close *= action.ratio if action.kind in ("split", "bonus") and day < action.day < NEVER else 1
        return close

    def told(self, source: str, day: int, told_on: int) -> tuple[float, int]:
        """The close and volume of a day, as a source tells them on another."""
        close, shares = self.closes[day], 1.0
        lowered, factor = 0.0, 1.0
        for action in (action for action in self.actions if day < action.day < NEVER):
            is_applied = told_on >= action.applied_from[source]
            if action.kind in ("split", "bonus"):
                if not is_applied or (source == "yahoo" and day < action.broken_at):
                    shares *= action.ratio
            elif source == "kite" and is_applied and action.kind == "demerger":
                factor /= action.ratio
            elif source == "kite" and is_applied and action.dividend_yield >= 0.02:
                if self.kite_method == "multiply":
                    factor *= 1 - action.dividend_yield
                else:
                    lowered += action.dividend_yield * self.closes[action.day - 1]
        price = max(close * factor - lowered, 1.0) * shares
        return round(round(price / 0.05) * 0.05, 2), round((100_000 + 997 * day) / shares)


class History:
    """A market with the shares of each of some seeds, written as batches into an archive, in the order of arrival."""

    def __init__(self, seeds: Sequence[int], folder: Path) -> None:
        """Draw the market; its files go into a folder of its own."""
        self._drawn = random.Random(seeds[0])  # noqa: S311 The same market each time.
        self._folder = folder
        first = FIRST_DAYS[seeds[0] % len(FIRST_DAYS)]
        self.days = [s.trade_date for s in trading_sessions(first, first + timedelta(days=400))][:SESSIONS]
        self.archive = Archive(str(folder / "sent"))
        self._isins = {row["symbol"]: row["isin"] for row in _seed("instruments")}
        renamed = self._renamed()
        others = [i.symbol for i in listed_instruments() if i.listed_on < first and i.symbol not in renamed]
        self._drawn.shuffle(others)
        names = iter([*renamed, *others])
        drawn = self._drawn
        self.shares = []
        for seed in seeds:
            self._drawn = random.Random(seed)  # noqa: S311
            for symbol in islice(names, SHARES_OF_A_SEED):
                self.shares.append(self._share(symbol, *renamed.get(symbol, ("", date.min))))
        self._drawn = drawn

    def builds(self, count: int) -> list[list[str]]:
        """Write all batches, and return the paths of those that arrive before each of so many builds.

        A few arrive later than others that were received after them.
        """
        drawn = self._drawn
        ends = [*sorted(drawn.sample(range(30, SESSIONS - 3), count - 1)), SESSIONS - 1]
        arriving: list[list[str]] = [[] for _ in ends]
        start = -1
        for number, end in enumerate(ends):
            lists = [self._list(drawn.randint(start + 1, end)) for _ in range(drawn.randint(4, 8))]
            for paths in [*([path] for path in self._fetches(start, end)), *lists]:
                late = drawn.randrange(number, count) if drawn.random() < 0.15 else number
                arriving[late] += [path for path in paths if not any(path in batches for batches in arriving)]
            start = end
        return [batches for batches in arriving if batches]

    def _renamed(self) -> dict[str, tuple[str, date]]:
        """Three shares, each with the symbol that it had and the last day of its use."""
        symbols = {row["instrument_id"]: row["symbol"] for row in _seed("instruments")}
        former = [row for row in _seed("former_identifiers") if row["kind"] == "symbol"]
        # Where the seed knows no last day, nobody else has had the symbol since.
        free, dated = ([row for row in former if bool(row["last_used_on"]) is known] for known in (False, True))
        chosen = [row for row in dated if self.days[0] <= date.fromisoformat(row["last_used_on"]) <= self.days[-1]]
        chosen += self._drawn.sample(free, 3 - len(chosen))
        middle = self.days[self._drawn.randint(20, SESSIONS - 20)]
        return {
            symbols[row["instrument_id"]]: (row["identifier"], date.fromisoformat(row["last_used_on"] or str(middle)))
            for row in chosen
        }

    def _share(self, symbol: str, former_symbol: str, last_used_on: date) -> Share:
        drawn = self._drawn
        closes = [drawn.choice((200.0, 900.0, 3000.0))]
        actions = [self._action(drawn.randint(8, SESSIONS - 6)) for _ in range(drawn.randint(4, 8))]
        for day in range(1, SESSIONS):
            close = closes[-1] * (1 + drawn.gauss(0, 0.012))
            for action in (action for action in actions if action.day == day):
                close *= 1 - action.dividend_yield
                close /= action.ratio if action.kind == "demerger" else 1
            closes.append(close)
        sources = drawn.choice((("kite", "yahoo"), ("kite", "yahoo"), ("kite", "yahoo"), ("kite",), ("yahoo",)))
        method = drawn.choice(("multiply", "subtract"))
        share = Share(symbol, former_symbol, last_used_on, closes, actions, sources, method)
        for action in actions:
            self._tell(share, action)
        return share

    def _action(self, day: int) -> Action:
        drawn = self._drawn
        kind = drawn.choice(("split", "bonus", "bonus", "dividend", "dividend", "demerger"))
        day = NEVER if drawn.random() < 0.15 else day
        if kind == "dividend":
            return Action(kind, day, dividend_yield=drawn.choice((0.004, 0.015, 0.03, 0.06)))
        ratio = {"split": (2.0, 5.0, 10.0), "bonus": (1.2, 1.5, 2.0, 4.0), "demerger": (1.15,)}[kind]
        return Action(kind, day, drawn.choice(ratio))

    def _tell(self, share: Share, action: Action) -> None:
        """Draw what the exchange, Yahoo and the prices say of an action."""
        drawn = self._drawn
        day = drawn.randint(20, SESSIONS - 8) if action.day == NEVER else action.day
        amount = round(action.dividend_yield * share.traded(day - 1), 1)
        announced, subject = max(day - drawn.randint(2, 25), 0), _subject(action, amount)
        if drawn.random() < 0.8:
            is_moved = drawn.random() < 0.3
            foreseen = max(min(day + drawn.choice((-12, -4, 3, 15)), SESSIONS - 1), 1) if is_moved else day
            action.listed.append((announced, foreseen, subject))
            if is_moved:
                action.listed.append((drawn.randint(announced, min(day + 6, SESSIONS - 1)), day, subject))
            if drawn.random() < 0.25:
                revised = f"{_subject(action, amount * drawn.choice((1, 1.2)))} (Revised)"
                action.listed.append((drawn.randint(announced, SESSIONS - 1), day, revised))
            if drawn.random() < (0.6 if action.day == NEVER else 0.1):
                action.listed.append((drawn.randint(announced, SESSIONS - 1), None, subject))
            action.listed.sort(key=lambda told: told[0])
        if drawn.random() < (0.2 if action.day == NEVER else 0.75) and action.kind != "demerger":
            value = action.ratio if action.ratio != 1 else amount
            late = drawn.choice((0, 0, 0, 5, 30))
            reported_on = max(min(day + drawn.choice((0, 0, 0, 1, -2)), SESSIONS - 1), 0)
            wrong = drawn.choice((1.0, 1.0, 1.0, 0.5))
            action.reported.append((day + late, reported_on, round(value * wrong, 4)))
            if wrong != 1 and drawn.random() < 0.5:
                action.reported.append((day + late + drawn.randint(1, 20), reported_on, value))
            if drawn.random() < 0.15:
                action.reported.append((day + late, min(reported_on + drawn.choice((1, 6, 20)), SESSIONS - 1), value))
        for source in ("kite", "yahoo"):
            action.applied_from[source] = day + drawn.choice((0, 0, 0, 0, 4, 15, NEVER))
        if drawn.random() < 0.25:
            action.broken_at = max(day - drawn.randint(3, 40), 0)

    def _fetches(self, start: int, end: int) -> list[str]:
        """What the sources answer on a day, of the sessions since the fetch before it, or of all."""
        drawn, rows = self._drawn, {"kite": list[Mapping[str, Any]](), "yahoo": list[Mapping[str, Any]]()}
        reports: dict[tuple[str, int], dict[str, float]] = {}
        moment = self._at(end, *drawn.choice(((18, 30), (33, 0))))
        for share in self.shares:
            for source in share.sources:
                is_rewritten = any(start < action.applied_from[source] <= end for action in share.actions)
                oldest = drawn.choice((0, 0, 0, max(start - 25, 0))) if is_rewritten else max(start - 3, 0)
                rows[source] += [self._bar(share, source, day, end, moment) for day in range(oldest, end + 1)]
            for action in share.actions:
                for since, day, value in action.reported:
                    if max(since, day) <= end:
                        kind = "dividend" if action.kind == "dividend" else "split_ratio"
                        reports.setdefault((share.name(moment.date()), day), {})[kind] = value
        paths = [
            write_bars(self.archive, KITE_DAILY_BARS, f"fetch-{end}", moment, *rows["kite"]),
            write_bars(self.archive, YAHOO_DAILY_BARS, f"fetch-{end}", moment, *rows["yahoo"]),
        ]
        actions = [
            {"symbol": symbol, "date": self._at(day), "dividend": 0.0, "split_ratio": 0.0, **values}
            for (symbol, day), values in reports.items()
        ]
        if actions:
            paths.append(write_bars(self.archive, YAHOO_CORPORATE_ACTIONS, f"fetch-{end}", moment, *actions))
        return paths

    def _bar(self, share: Share, source: str, day: int, told_on: int, moment: datetime) -> dict[str, Any]:
        close, volume = share.told(source, day, told_on)
        # Sources correct a bar here and there.
        close *= self._drawn.choice((0.99, 1.01)) if self._drawn.random() < 0.003 else 1
        prices = {"open": close, "high": close + 0.5, "low": close - 0.5, "close": close}
        name = share.name(moment.date())
        return {"symbol": name, "date": self._at(day), **prices, "volume": volume}

    def _list(self, as_of: int) -> list[str]:
        """A file of the exchange, downloaded on a day: what it lists then, or a part of it, as `import` takes it in."""
        drawn = self._drawn
        first = drawn.choice((as_of, as_of, max(as_of - 60, 0)))
        last = min(as_of + drawn.choice((10, 25, 40)), SESSIONS - 1)
        only = drawn.choice((None, None, None, "bonus", "dividend"))
        only_share = drawn.choice(self.shares) if drawn.random() < 0.15 else None
        records = []
        for share in self.shares if only_share is None else [only_share]:
            for action in share.actions:
                known = [told for told in action.listed if told[0] <= as_of]
                # A revision stands beside what it revises.
                for _, day, subject in known[-2:] if known and "Revised" in known[-1][2] else known[-1:]:
                    if day is not None and first <= day <= last and only in (None, action.kind):
                        named_on = self.days[drawn.choice((as_of, min(day, as_of)))]
                        isin = drawn.choice((self._isins[share.symbol], "-"))
                        records.append(self._record(share.name(named_on), subject, day, isin))
        if only_share is None:
            subject = "Bonus 1:1" if only == "bonus" else "Dividend - Rs 2 Per Share"
            records += [self._record(OTHER, subject, day, "-") for day in range(first, last + 1, 4)]
        if not records:
            records = [self._record(OTHER, "Dividend - Rs 2 Per Share", as_of, "-")]
        path = self._folder / f"CA-{as_of}-{drawn.random()}.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, NSE_CORPORATE_ACTIONS.provider_columns.names[:-1], restval="-")
            writer.writeheader()
            writer.writerows(records)
        downloaded_on = self.days[as_of]
        (report,) = take_files(self.archive, [path], downloaded_on, lambda *_: None, as_of=downloaded_on)
        assert not report.shortfalls, report
        return report.paths

    def _record(self, symbol: str, subject: str, day: int, isin: str) -> dict[str, str]:
        ex_date = f"{self.days[day]:%d-%b-%Y}"
        return {"symbol": symbol, "series": "EQ", "subject": subject, "exDate": ex_date, "isin": isin}

    def _at(self, day: int, hours: int = 0, minutes: int = 0) -> datetime:
        midnight = datetime.combine(self.days[day], time(), EXCHANGE_ZONE)
        return midnight + timedelta(hours=hours, minutes=minutes)


def _subject(action: Action, amount: float) -> str:
    """How the exchange writes it."""
    if action.kind == "dividend":
        return f"Interim Dividend - Rs {amount:.1f} Per Share"
    if action.kind == "split":
        return f"Face Value Split (Sub-Division) - From Rs 10/- Per Share To Rs {10 / action.ratio:g}/- Per Share"
    if action.kind == "bonus":
        return {1.2: "Bonus 1:5", 1.5: "Bonus 1:2", 2.0: "Bonus 1:1", 4.0: "Bonus 3:1"}[action.ratio]
    return "Demerger"


def _seed(name: str) -> list[dict[str, str]]:
    with (PROJECT_DIR / "seeds" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
