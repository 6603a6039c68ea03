"""Each defect that the simulated market plants is found at its place, by the check that it names."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from infra.local.market import Market, write_market
from tests.conftest import Pipeline, copied


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory, empty_marts: Path) -> Iterator[tuple[Market, Pipeline]]:
    folder = tmp_path_factory.mktemp("market")
    # The listing of BAJAJHFL lies inside the range.
    symbols = ("360ONE", "3MINDIA", "ABB", "ACC", "BAJAJHFL", "BEL", "DLF", "GAIL", "INFY", "ITC", "LT", "SBIN", "TCS")
    with copied(empty_marts, folder / "warehouse") as warehouse_dir:
        pipeline = Pipeline(folder / "archive", warehouse_dir)
        written = write_market(pipeline.archive, first=date(2024, 1, 1), last=date(2025, 4, 30), symbols=symbols)
        pipeline.replay()
        pipeline.build()
        yield written, pipeline


def test_every_planted_defect_is_found_at_its_place(market: tuple[Market, Pipeline]) -> None:
    written, pipeline = market
    bars = {
        (symbol, day): (source_id, is_valid, set(failed_checks))
        for symbol, day, source_id, is_valid, failed_checks in pipeline.query(
            "select symbol, trade_date, source_id, is_valid, failed_checks from `{d}.fct_daily_bars`"
        )
    }
    absent = set(
        pipeline.query(
            "select symbol, trade_date from `{d}_quality.quality_bar_checks`"
            " where check_id = 'is_present' and status = 'failed'"
        )
    )
    kinds = {defect.check_id for defect in written.defects}
    assert kinds >= {"is_on_session", "is_present", "is_traded", "has_explained_return", None}
    assert kinds >= {"is_reconciled", "has_settled_scale"}
    assert kinds >= {"has_positive_prices", "is_after_listing", "has_highest_high", "agrees_with_other_source"}
    missed = []
    for defect in written.defects:
        for symbol in defect.symbols:
            source_id, is_valid, failed_checks = bars.get((symbol, defect.trade_date), (None, False, set()))
            if defect.source_id is None:
                found = source_id is None and (symbol, defect.trade_date) in absent
            elif defect.check_id is None:
                found = source_id == defect.source_id and is_valid
            else:
                found = source_id == defect.source_id and defect.check_id in failed_checks
            if not found:
                missed.append((symbol, defect, source_id, failed_checks))
    assert missed == []


def test_no_series_jumps_but_where_the_price_did(market: tuple[Market, Pipeline]) -> None:
    written, pipeline = market
    jumps = pipeline.query("select symbol, trade_date from `{d}.daily_bars` where abs(daily_return) > 0.15")
    true = {(symbol, d.trade_date) for d in written.defects if d.is_true_jump for symbol in d.symbols}
    assert true
    assert set(jumps) == true
