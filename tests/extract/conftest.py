"""Simulated providers; and an archive in which the order of arrival matters, with the marts that it makes."""

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from extract.fetching.run import Job
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.landing.raw_table import RawTable
from extract.run_id import new_run_id
from extract.seeds import EXCHANGE_ZONE, last_closed_session, listed_instruments
from extract.settings import Settings
from infra.local.market import draft_market, write_market
from infra.local.providers import ACCESS_TOKEN, Limits, Providers, environment, serving
from infra.local.series import Draft
from tests.conftest import Pipeline, fresh, write_bars

SYMBOLS = ("ABB", "ACC", "BEL", "DLF", "GAIL", "INFY", "ITC", "LT", "NTPC", "SBIN", "TCS", "UPL")

# A market without planted defects, up to the last session of 2024.
TRADED = ("ABB", "ACC", "BAJAJ-AUTO", "BEL", "M&M", "TCS")
LAST_DAY = date(2024, 12, 31)
EVENING = datetime(2024, 12, 31, 18, 30, tzinfo=EXCHANGE_ZONE)
MORNING = datetime(2025, 1, 1, 8, 0, tzinfo=EXCHANGE_ZONE)

ALWAYS_FILLED = {
    "fct_daily_bars",
    "fct_daily_bar_revisions",
    "daily_bars",
    "dim_instruments",
    "dim_trading_sessions",
    "quality.quality_scores_by_symbol",
    "quality.quality_scores_by_session",
}

FAST = Limits(kite_candles=1000, kite_quotes=1000, yahoo=1000, alpha_vantage=1000)

type Marts = dict[str, list[str]]


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market of 14 months with its planted defects, and what makes order matter: bars that were sent before.

    Yahoo sent the first half a year earlier than Kite sent anything, so that the two are compared for the first time
    when most of the bars are already in the marts; and Kite sent some sessions twice more, at other prices.
    """
    folder = tmp_path_factory.mktemp("market")
    archive = Archive(str(folder))
    market = write_market(archive, first=date(2023, 5, 2), last=date(2024, 6, 28), symbols=SYMBOLS)
    # The backfill is the oldest batch of each table.
    yahoo_path = min(path for path in market.paths if path.startswith("yahoo_daily_bars/"))
    bars = archive.read(yahoo_path).rows.select(YAHOO_DAILY_BARS.provider_columns.names)
    first_half = bars.filter(pc.less(bars["date"], datetime(2023, 11, 1, tzinfo=UTC)))
    archive.write(YAHOO_DAILY_BARS, first_half, "early", 0, datetime(2023, 11, 1, 13, 0, tzinfo=UTC))
    kite_path = min(path for path in market.paths if path.startswith("kite_daily_bars/"))
    bars = archive.read(kite_path).rows.select(KITE_DAILY_BARS.provider_columns.names)
    for run_id, received, month, factor in (
        ("older", datetime(2023, 12, 1, 13, 0, tzinfo=UTC), 8, 1.01),
        ("newer", datetime(2024, 7, 15, 13, 0, tzinfo=UTC), 9, 1.001),
    ):
        sent = bars.filter(pc.and_(pc.equal(pc.year(bars["date"]), 2023), pc.equal(pc.month(bars["date"]), month)))
        sent = sent.set_column(6, "close", pc.multiply(sent["close"], factor))
        archive.write(KITE_DAILY_BARS, sent, run_id, 0, received)
    _send_at_random(archive)
    _send_under_two_names(archive)
    _send_a_dividend_and_a_split(archive)
    return folder


def _send_at_random(archive: Archive) -> None:
    """Bars of 60 other symbols, sent up to twelve times: unchanged, restated, before eight and after, at one moment."""
    drawn = random.Random(20240628)  # noqa: S311 The same bars each time.
    symbols = [i.symbol for i in listed_instruments() if i.symbol not in SYMBOLS][:60]
    days = [datetime(2024, 6, day, tzinfo=EXCHANGE_ZONE) for day in (24, 25, 26, 27, 28)]
    for number in range(12):
        table = drawn.choice((KITE_DAILY_BARS, YAHOO_DAILY_BARS))
        # Two batches may have come at the same moment.
        received = days[-1] + timedelta(days=drawn.randrange(3), hours=drawn.choice((7, 9, 18)))
        rows = [
            {
                "symbol": symbol,
                "date": day,
                **dict.fromkeys(("open", "high", "low", "close"), drawn.choice((100.0, 101.0, 50.0))),
                "volume": drawn.choice((1000, 2000)),
            }
            for symbol in symbols
            for day in days
            if drawn.random() < 0.5
        ]
        write_bars(archive, table, f"random-{number}", received, *rows)


def _send_under_two_names(archive: Archive) -> None:
    """UNITDSPR, sent as MCDOWELL-N and then as itself, with other tokens: it moved to another series, and back."""
    week = [datetime(2024, 6, day, tzinfo=EXCHANGE_ZONE) for day in (24, 25, 26, 27, 28)]
    month_before = [datetime(2024, 5, day, tzinfo=EXCHANGE_ZONE) for day in (27, 28, 29, 30, 31)]
    for table, symbol, days, received, token in (
        (KITE_DAILY_BARS, "MCDOWELL-N", month_before, week[0], 1),
        (KITE_DAILY_BARS, "MCDOWELL-N", week[:3], week[3], 2),
        (KITE_DAILY_BARS, "UNITDSPR", week[1:], week[4] + timedelta(days=1), 1),
        (YAHOO_DAILY_BARS, "MCDOWELL-N", month_before, week[0], None),
        (YAHOO_DAILY_BARS, "UNITDSPR", week, week[4] + timedelta(days=1), None),
    ):
        rows = [
            {
                "symbol": symbol,
                "instrument_token": token,
                "date": day,
                **dict.fromkeys(("open", "high", "low", "close"), 1300.0 + day.day),
                "volume": 1000,
            }
            for day in days
        ]
        run_id = f"{symbol.lower()}-{token}-{len(days)}-of-{days[0]:%B}".lower()
        write_bars(archive, table, run_id, received + timedelta(hours=18), *rows)


def _send_a_dividend_and_a_split(archive: Archive) -> None:
    """VOLTAS, which pays 40 rupees on 26 June 2024, of some 1,000, and splits 2 for 1 on the 28th.

    Kite lowers its past by the dividend on its day; both sources apply the split after it.
    """
    dividend_on, split_on = (datetime(2024, 6, day, tzinfo=EXCHANGE_ZONE) for day in (26, 28))
    days = [datetime(2024, 5, day, tzinfo=EXCHANGE_ZONE) for day in (27, 28, 29, 30, 31)]
    days += [datetime(2024, 6, day, tzinfo=EXCHANGE_ZONE) for day in (24, 25, 26, 27, 28)]

    def send(table: RawTable, received: datetime, is_lowered: bool) -> None:
        is_split = received > split_on
        rows = []
        for day in (day for day in days if day < received):
            price = 1000.0 + day.day - (40.0 if is_lowered and day < dividend_on else 0.0)
            traded_after = day >= split_on
            factor = 0.5 if is_split or traded_after else 1.0
            prices = dict.fromkeys(("open", "high", "low", "close"), price * factor)
            rows.append({"symbol": "VOLTAS", "date": day, **prices, "volume": round(1000 / factor)})
        write_bars(archive, table, f"voltas-{received:%d-%H}", received, *rows)

    send(KITE_DAILY_BARS, dividend_on - timedelta(hours=6), is_lowered=False)
    send(KITE_DAILY_BARS, dividend_on + timedelta(hours=18), is_lowered=True)
    send(KITE_DAILY_BARS, split_on + timedelta(hours=34), is_lowered=True)
    send(YAHOO_DAILY_BARS, dividend_on - timedelta(hours=5), is_lowered=False)
    send(YAHOO_DAILY_BARS, split_on + timedelta(hours=35), is_lowered=False)
    for day, dividend, split_ratio in ((dividend_on, 40.0, 0.0), (split_on, 0.0, 2.0)):
        action = {"symbol": "VOLTAS", "date": day, "dividend": dividend, "split_ratio": split_ratio}
        write_bars(archive, YAHOO_CORPORATE_ACTIONS, f"voltas-{day:%d}", day + timedelta(hours=19), action)


def replayed(pipeline: Pipeline, archived: Path, runs: Sequence[Sequence[str]]) -> Marts:
    """The marts after the archive's batches came in these runs."""
    for batches in runs:
        for path in batches:
            (pipeline.archive_dir / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(archived / path, pipeline.archive_dir / path)
        assert pipeline.replay().loaded == len(batches)
        pipeline.build()
    return pipeline.marts()


@dataclass(frozen=True)
class Undisturbed:
    """The marts after every batch came in its order; and what was known in between.

    Attributes:
        marts: in the end.
        known_then: the current version of each bar, when all had come that was received before a moment.
        as_of_then: the versions that are known to have been current at that moment, asked for in the end.
        known_now: the current versions in the end.
    """

    marts: Marts
    known_then: list[str]
    as_of_then: list[str]
    known_now: list[str]


@pytest.fixture(scope="module")
def undisturbed(archived: Path, tmp_path_factory: pytest.TempPathFactory, warehouse_dir: Path) -> Undisturbed:
    """The marts after two runs, one before a moment, and one after it."""
    moment = "2024-06-29 00:00:00+00"
    paths = sorted(Archive(str(archived)).paths(), key=lambda path: path.split("extracted_on=")[1])
    before = [path for path in paths if path.split("extracted_on=")[1] < moment]
    columns = "symbol, source_id, trade_date, open, high, low, close, volume, is_provisional, known_from"
    versions = f"select {columns} from `{{d}}.fct_daily_bar_revisions`"
    current = f"{versions} where known_to is null"
    as_of = f"{versions} where known_from <= timestamp '{moment}' and (known_to is null or known_to > '{moment}')"
    with fresh(tmp_path_factory.mktemp("undisturbed") / "archive", warehouse_dir) as pipeline:
        replayed(pipeline, archived, [before])
        known_then = sorted(map(repr, pipeline.query(current)))
        marts = replayed(pipeline, archived, [paths[len(before) :]])
        assert len(marts["fct_daily_bars"]) > 3000
        as_of_then, known_now = (sorted(map(repr, pipeline.query(sql))) for sql in (as_of, current))
    return Undisturbed(marts, known_then, as_of_then, known_now)


def assert_same(marts: Marts, expected: Marts) -> None:
    for table, rows in expected.items():
        # In some markets no past is rewritten, and no share pays or splits.
        assert rows or table not in ALWAYS_FILLED, table
        assert marts[table] == rows, table


@dataclass
class Exchange:
    """Simulated providers at an address, and runs against them at a time of the test's choice."""

    providers: Providers
    address: str
    requests: list[str] = field(default_factory=list)

    @property
    def market(self) -> Draft:
        """What the providers serve."""
        return self.providers.market

    def environment(self, pipeline: Pipeline) -> dict[str, str]:
        """The variables that point a command at these providers and this pipeline, at a pace without waits."""
        paces = {"KITE_REQUESTS_PER_SECOND": "500", "YAHOO_REQUESTS_PER_SECOND": "500"}
        return pipeline.environment | environment(self.address) | paces | {"KITE_ACCESS_TOKEN": ACCESS_TOKEN}

    @contextmanager
    def run(self, pipeline: Pipeline, now: datetime, **settings: str) -> Iterator[Job]:
        """A run at this time, on the pipeline's warehouse and archive."""
        self.providers.clock = lambda: now
        symbols = [instrument.symbol for instrument in self.market.instruments]
        with pipeline.warehouse() as warehouse:
            warehouse.create_raw()
            yield Job(
                settings=Settings.from_environment(self.environment(pipeline) | settings),
                instruments=listed_instruments(symbols),
                due=last_closed_session(now),
                run_id=new_run_id("test", now),
                archive=pipeline.archive,
                warehouse=lambda: warehouse,
                clock=lambda: now,
                progress=lambda *_: None,
                first_wait=0.01,
            )


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """Providers of half a year of six instruments."""
    market = draft_market(first=date(2024, 6, 3), last=LAST_DAY + timedelta(days=10), symbols=TRADED)
    providers = Providers(market, limits=FAST)
    with serving(providers) as address:
        yield Exchange(providers, address)


@pytest.fixture
def faultless(exchange: Exchange) -> Exchange:
    """The providers, with nothing wrong with them."""
    exchange.providers.fail()
    exchange.providers.tokens = {ACCESS_TOKEN}
    exchange.providers.answered.clear()
    return exchange


def assert_as_one_full_build(made: Pipeline, whole: Pipeline) -> dict[str, list[str]]:
    """Require that a pipeline's marts are those that one full build makes of `whole`'s archive; return these."""
    whole.replay()
    assert whole.build(full_refresh=True).window_start is None
    marts, expected = made.marts(), whole.marts()
    for table, rows in expected.items():
        assert marts[table] == rows, table
    return expected


def received(pipeline: Pipeline, table: RawTable) -> list[tuple[str, date, float, int]]:
    """Symbol, trade date, close and volume of each row that raw holds, sorted."""
    rows = pipeline.query(
        f"select symbol, date(date, 'Asia/Kolkata'), round(close, 2), volume from `{{d}}_raw.{table.name}`"
    )
    return sorted(rows)
