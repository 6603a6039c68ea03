"""Any arrivals make the same versions: repeats, late files, restatements, withdrawals, builds in between."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from extract.landing.raw import KITE_DAILY_BARS, YAHOO_DAILY_BARS
from extract.seeds import EXCHANGE_ZONE, final_through, listed_instruments
from extract.settings import PROJECT_DIR
from tests.conftest import Pipeline, fresh, write_bars

DAYS = [date(2024, 6, day) for day in (26, 27, 28)]
*SYMBOLS, RETURNING = [instrument.symbol for instrument in listed_instruments()[:25]]
TABLES = {"kite": KITE_DAILY_BARS, "yahoo": YAHOO_DAILY_BARS}
# After the close of each day, before eight of the next one, and after it.
MOMENTS = [
    datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE) + timedelta(hours=hours)
    for day in DAYS
    for hours in (18, 31, 33)
]


@dataclass(frozen=True, order=True)
class Batch:
    """What one source said at one moment; two batches may have come at the same one."""

    source_id: str
    moment: datetime
    copy: int


@dataclass(frozen=True)
class Arrivals:
    """Batches in the order in which they arrive, and after which of them the marts are built.

    Attributes:
        batches: the close and volume that each tells of a symbol's day; None where it withdraws the bar.
        builds: how many batches have arrived at each build; all have at the last.
    """

    batches: list[tuple[Batch, dict[tuple[str, date], tuple[int, int] | None]]]
    builds: list[int]


@st.composite
def arrivals(draw: st.DrawFn) -> Arrivals:
    receipts: dict[Batch, dict[tuple[str, date], tuple[int, int] | None]] = defaultdict(dict)
    receipt = st.tuples(
        st.sampled_from(sorted(TABLES)),
        st.integers(0, len(DAYS) - 1),
        st.integers(0, len(MOMENTS) - 1),
        st.integers(0, 1),
        st.sampled_from((100, 101, 50, None)),
        st.sampled_from((1000, 2000)),
    )
    for symbol in SYMBOLS:
        for source_id, day, later, copy, close, volume in draw(st.lists(receipt, min_size=6, max_size=14)):
            # Nobody tells a bar before its day has closed.
            moment = MOMENTS[min(3 * day + later, len(MOMENTS) - 1)]
            receipts[Batch(source_id, moment, copy)][symbol, DAYS[day]] = (close, volume) if close else None
    # One bar is withdrawn, and comes back, whatever is drawn.
    for number, values in ((2, (100, 1000)), (5, None), (8, (100, 1000))):
        receipts[Batch("kite", MOMENTS[number], 0)][RETURNING, DAYS[0]] = values
    batches = draw(st.permutations(sorted(receipts.items(), key=lambda item: item[0])))
    cuts = draw(st.sets(st.integers(1, max(len(batches) - 1, 1)), min_size=1, max_size=2))
    return Arrivals(batches, sorted(cuts | {len(batches)}))


def versions(arrived: Arrivals) -> list[tuple[Any, ...]]:
    """What fct_daily_bar_revisions promises, told of one bar at a time."""
    by_bar: dict[tuple[str, str, date], list[tuple[datetime, tuple[int, int] | None]]] = defaultdict(list)
    for batch, bars in arrived.batches:
        for (symbol, day), told in bars.items():
            by_bar[symbol, batch.source_id, day].append((batch.moment, told))
    return sorted((bar + version for bar, told in by_bar.items() for version in of_bar(bar[2], told)), key=repr)


def of_bar(day: date, told: list[tuple[datetime, tuple[int, int] | None]]) -> Iterator[tuple[Any, ...]]:
    """The versions of one bar, from what was told of it."""
    moments = {moment for moment, values in told if values}
    # What was also sent at that moment is not withdrawn.
    withdrawn = {moment for moment, values in told if not values} - moments
    first_final = min((moment for moment in moments if final_through(moment) >= day), default=None)
    for is_provisional in (True, False):
        sent = sorted((m, v) for m, v in told if v and (final_through(m) < day) is is_provisional)
        runs: list[list[tuple[datetime, tuple[int, int]]]] = []
        for moment, values in sent:
            if runs and runs[-1][-1][1] == values and not any(runs[-1][-1][0] < w < moment for w in withdrawn):
                runs[-1].append((moment, values))
            else:
                runs.append([(moment, values)])
        first_sent_at = None
        for number, run in enumerate(runs):
            known_from, (close, volume) = run[0]
            if number == 0 or runs[number - 1][0][1] != run[0][1]:
                first_sent_at = known_from
            known_to = runs[number + 1][0][0] if number + 1 < len(runs) else None
            if is_provisional and first_final:
                # Replaced by the next one or the first final one; never believed, if it came after that.
                known_to = max(known_from, min(known_to or first_final, first_final))
            withdrawn_at = min(
                (w for w in withdrawn if w > run[-1][0] and not (known_to and known_to <= w)), default=None
            )
            version = (is_provisional, number + 1, close, volume, first_sent_at, known_from)
            yield (*version, withdrawn_at or known_to, withdrawn_at, run[-1][0])


@dataclass(frozen=True)
class Dbt:
    """dbt itself, on the one model and what it reads."""

    pipeline: Pipeline
    environment: dict[str, str]

    def run(self, *arguments: str, **window: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (self.environment | window).items():
                patch.setenv(name, value)
            folder = str(self.pipeline.warehouse_dir / "arrivals")
            project = ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
            files = ["--target-path", folder, "--log-path", folder]
            kinds = ["--resource-type", "model", "--resource-type", "seed"]
            done = dbtRunner().invoke(["--log-level", "none", "build", *arguments, *kinds, *project, *files])
        assert done.success, done.exception


# Not shrunk: each try takes seconds.
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(arrived=arrivals())
def test_any_sequence_of_arrivals_makes_the_same_versions(
    arrived: Arrivals, warehouse_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        fresh(tmp_path_factory.mktemp("arrivals"), warehouse_dir) as pipeline,
        pipeline.warehouse() as warehouse,
    ):
        warehouse.create_raw()
        dbt = Dbt(pipeline, pipeline.environment | {"BIGQUERY_EMULATOR_HOST": str(warehouse.address)})
        dbt.run("--full-refresh", "--select", "+fct_daily_bar_revisions")
        landed = 0
        for build in arrived.builds:
            for number, (batch, bars) in enumerate(arrived.batches[landed:build], start=landed):
                rows: list[dict[str, Any]] = [
                    {
                        "symbol": symbol,
                        "date": datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE),
                        **(
                            {**dict.fromkeys(("open", "high", "low", "close"), float(told[0])), "volume": told[1]}
                            if told
                            else {"is_withdrawn": True}
                        ),
                    }
                    for (symbol, day), told in bars.items()
                ]
                write_bars(pipeline.archive, TABLES[batch.source_id], f"batch-{number}", batch.moment, *rows)
            landed = build
            pipeline.replay()
            dbt.run("--select", "fct_daily_bar_revisions", WINDOW_START=str(DAYS[0].replace(day=1)))
        columns = "symbol, source_id, trade_date, is_provisional, revision, cast(close as int64), volume"
        found = pipeline.query(
            f"select {columns}, first_sent_at, known_from, known_to, withdrawn_at, last_received_at"
            " from `{d}.fct_daily_bar_revisions`"
        )
    expected = versions(arrived)
    local = [tuple(v.astimezone(EXCHANGE_ZONE) if isinstance(v, datetime) else v for v in row) for row in found]
    assert sorted(local, key=repr) == expected
    assert len(expected) >= len(SYMBOLS)
    assert [row[4] for row in expected if row[0] == RETURNING] == [1, 2]
