"""The simulated market: repeatable, clean where nothing is planted, and with every defect where it says."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from extract.landing.archive import Archive
from extract.seeds import Instrument, last_closed_session, listed_instruments, trading_sessions
from infra.local.market import Market, main, write_market
from infra.local.series import Bars, Defect, clean_bars

FIRST, LAST = date(2024, 1, 1), date(2025, 3, 31)
# BAJAJHFL was listed on 2024-09-16.
SYMBOLS = (*(instrument.symbol for instrument in listed_instruments()[:14]), "BAJAJHFL")
SEED = 7
IST = ZoneInfo("Asia/Kolkata")

type Bar = dict[str, Any]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return Archive(str(tmp_path_factory.mktemp("archive")))


@pytest.fixture(scope="module")
def market(archive: Archive) -> Market:
    return write_market(archive, first=FIRST, last=LAST, symbols=SYMBOLS, seed=SEED)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def _rows(archive: Archive, market: Market, table: str) -> list[Bar]:
    batches = [archive.read(path).rows for path in market.paths if path.startswith(f"{table}/")]
    rows: list[Bar] = pa.concat_tables(batches).to_pylist()
    return [row | {"day": row["date"].astimezone(IST).date()} for row in rows]


def _planted(market: Market) -> set[tuple[str, date]]:
    return {(symbol, defect.trade_date) for defect in market.defects for symbol in defect.symbols}


def _bars_outside_defects(archive: Archive, market: Market) -> Iterator[Bar]:
    planted = _planted(market)
    for table in ("kite_daily_bars", "yahoo_daily_bars"):
        yield from (row for row in _rows(archive, market, table) if (row["symbol"], row["day"]) not in planted)


def _clean(symbols: tuple[str, ...] | None, last: date, seed: int = SEED) -> tuple[list[Instrument], Bars]:
    instruments = listed_instruments(symbols)
    return instruments, clean_bars(instruments, trading_sessions(FIRST, last), seed)


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two", "other"):
        seed = SEED + 1 if folder == "other" else SEED
        write_market(Archive(str(tmp_path / folder)), first=FIRST, last=LAST, symbols=SYMBOLS, seed=seed)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    assert _files(tmp_path / "one") != _files(tmp_path / "other")


def test_writing_again_adds_nothing(archive: Archive, market: Market) -> None:
    before = archive.paths()
    again = write_market(archive, first=FIRST, last=LAST, symbols=SYMBOLS, seed=SEED)
    assert again == market
    assert archive.paths() == before == sorted(market.paths)


def test_a_subset_of_instruments_has_the_same_bars() -> None:
    instruments, whole = _clean(None, LAST)
    some, part = _clean(("SBIN", "INFY", "BAJAJHFL"), LAST)
    assert len(some) == 3
    rows = [instruments.index(instrument) for instrument in some]
    for of_whole, of_part in zip(astuple(whole), astuple(part), strict=True):
        np.testing.assert_array_equal(of_whole[rows], of_part)


def test_a_later_end_only_appends() -> None:
    _, short = _clean(None, date(2024, 6, 28))
    _, long = _clean(None, LAST)
    sessions = short.close.shape[1]
    assert sessions < long.close.shape[1]
    for of_short, of_long in zip(astuple(short), astuple(long), strict=True):
        np.testing.assert_array_equal(of_short, of_long[:, :sessions])


def test_every_clean_series_starts_at_100() -> None:
    instruments, bars = _clean(None, LAST)
    first_closes = bars.close[np.arange(len(instruments)), bars.is_sent.argmax(axis=1)] / 20
    assert bars.is_sent.any(axis=1).sum() == len(instruments)
    assert set(first_closes) == {100.0}


def test_no_clean_day_moves_by_a_tenth_and_all_bars_are_ordered() -> None:
    instruments = listed_instruments()
    bars = clean_bars(instruments, trading_sessions(date(2010, 1, 1), date(2026, 12, 31)), SEED)
    moves = (np.diff(bars.close, axis=1) / bars.close[:, :-1])[bars.is_sent[:, :-1]]
    assert np.abs(moves).max() <= 0.10
    assert 0.014 < moves.std() < 0.016
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert min(bars.low.min(), bars.open.min()) >= 20


def test_short_sessions_trade_an_eighth() -> None:
    sessions = trading_sessions(FIRST, LAST)
    _, bars = _clean(None, LAST)
    is_short = np.array([session.is_short for session in sessions])
    # 2024-03-02, 2024-05-18 and 2024-11-01.
    assert is_short.sum() == 3
    ratio = np.median(bars.volume[:, is_short]) / np.median(bars.volume[:, ~is_short])
    assert 0.10 < ratio < 0.14


def test_sessions_are_those_of_the_exchange() -> None:
    days = [session.trade_date for session in trading_sessions(date(2024, 1, 15), date(2024, 1, 27))]
    # Saturday the 20th was a session; the 22nd and the 26th were holidays.
    assert [day.day for day in days] == [15, 16, 17, 18, 19, 20, 23, 24, 25]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-23T15:29:00+05:30", date(2026, 11, 20)),
        ("2026-11-23T15:30:00+05:30", date(2026, 11, 23)),
        # A holiday.
        ("2026-11-24T10:00:00+00:00", date(2026, 11, 23)),
        # A muhurat session whose hours are not documented.
        ("2026-11-08T19:29:00+05:30", date(2026, 11, 6)),
        ("2026-11-08T19:30:00+05:30", date(2026, 11, 8)),
    ],
)
def test_last_closed_session(now: str, expected: date) -> None:
    assert last_closed_session(datetime.fromisoformat(now)) == expected


def test_every_batch_is_readable_and_counted(archive: Archive, market: Market) -> None:
    rows = {path: archive.read(path).rows.num_rows for path in market.paths}
    assert sum(count for path, count in rows.items() if "_bars/" in path) == market.bar_count
    runs = {path.partition("/")[2].rpartition("-")[0] for path in market.paths}
    assert len(runs) == 6
    # The last session, a Friday, at 18:30 in India.
    assert max(runs) == "extracted_on=2025-03-28/sim-20250328T130000Z"


def test_a_batch_has_at_most_60000_rows(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    market = write_market(archive, first=FIRST, last=LAST, seed=SEED)
    counts = [archive.read(path).rows.num_rows for path in market.paths]
    assert market.bar_count > 140_000
    assert max(counts) == 60_000


def test_bars_outside_defects_are_ordered_and_on_the_tick(archive: Archive, market: Market) -> None:
    for bar in _bars_outside_defects(archive, market):
        opened, high, low, close = (bar[name] for name in ("open", "high", "low", "close"))
        assert high >= max(opened, close), bar
        assert low <= min(opened, close), bar
        assert low >= 1, bar
        assert bar["volume"] > 0, bar
        assert abs(close * 20 - round(close * 20)) < 0.002, bar


def test_bars_outside_defects_are_on_sessions(archive: Archive, market: Market) -> None:
    sessions = {session.trade_date for session in trading_sessions(FIRST, LAST)}
    listed_on = {instrument.symbol: instrument.listed_on for instrument in listed_instruments(SYMBOLS)}
    bars = list(_bars_outside_defects(archive, market))
    assert {bar["day"] for bar in bars} == sessions
    assert {f"{bar['date'].astimezone(IST):%H:%M}" for bar in bars} == {"00:00"}
    assert {bar["symbol"] for bar in bars} == set(SYMBOLS)
    assert all(bar["day"] >= listed_on[bar["symbol"]] for bar in bars)


def test_bars_arrive_after_the_close_and_kite_corrects_them_the_next_day(archive: Archive, market: Market) -> None:
    sessions = trading_sessions(FIRST, LAST)
    closes_at = {session.trade_date: session.closes_at for session in sessions}
    versions: dict[tuple[str, date], list[Bar]] = {}
    for bar in _rows(archive, market, "kite_daily_bars"):
        assert bar["_extracted_at"] >= closes_at[bar["day"]]
        versions.setdefault((bar["symbol"], bar["day"]), []).append(bar)
    for session in sessions[-5:-2]:
        for symbol in SYMBOLS[1:]:
            same_day, final = sorted(versions[symbol, session.trade_date], key=lambda bar: bar["_extracted_at"])
            assert same_day["_extracted_at"].astimezone(IST).date() == session.trade_date
            assert 0 < abs(same_day["close"] - final["close"]) <= 0.004 * final["close"]
            assert same_day["volume"] < final["volume"]


def test_both_sources_agree_outside_defects(archive: Archive, market: Market) -> None:
    closes: dict[tuple[str, date], Bar] = {}
    for table in ("kite_daily_bars", "yahoo_daily_bars"):
        for bar in _rows(archive, market, table):
            closes.setdefault((bar["symbol"], bar["day"]), {})[table] = bar["close"]
    # The series whose split Yahoo has applied by half is four times too high before it.
    halved = {symbol for d in market.defects if d.check_id == "has_settled_scale" for symbol in d.symbols}
    pairs = {
        key: pair
        for key, pair in closes.items()
        if len(pair) == 2 and key not in _planted(market) and key[1] < date(2025, 3, 20) and key[0] not in halved
    }
    assert len(pairs) > 0.8 * 13 * 240
    apart = [key for key, pair in pairs.items() if abs(pair["kite_daily_bars"] - pair["yahoo_daily_bars"]) > 1e-3]
    assert not apart
    # 32-bit floats, as Yahoo sends them.
    assert any(pair["kite_daily_bars"] != pair["yahoo_daily_bars"] for pair in pairs.values())


def test_every_kind_of_defect_is_planted(market: Market) -> None:
    kinds = Counter((defect.check_id, defect.source_id) for defect in market.defects)
    assert kinds == {
        ("is_on_session", "yahoo"): 1,
        # Sessions that Yahoo lacks or shows flat, the instrument that it does not serve, a split that it applies late,
        # a true jump.
        (None, "kite"): 9,
        # Two sessions lacking in both, and one lacking in Yahoo for what Kite does not serve.
        ("is_present", None): 3,
        ("is_traded", "yahoo"): 1,
        ("has_explained_return", "yahoo"): 1,
        # The last sessions before a split that was applied by half.
        ("has_settled_scale", "yahoo"): 3,
        ("is_reconciled", "yahoo"): 1,
        # Two placeholder bars, and a last row without prices.
        ("has_positive_prices", "kite"): 2,
        ("has_positive_prices", "yahoo"): 1,
        ("is_after_listing", "kite"): 2,
        ("has_highest_high", "yahoo"): 1,
        # An instrument without Kite, a wrong order, a stale bar, a dead token.
        ("is_from_primary", "yahoo"): 4,
        ("agrees_with_other_source", "kite"): 2,
    }
    assert all(defect.symbols for defect in market.defects)


def test_the_last_two_months_hold_a_gap_and_a_difference_of_the_sources(market: Market) -> None:
    # Which the page shows; and not the last ten days, of which alerts tell.
    recent = {d.check_id for d in market.defects if 10 < (LAST - d.trade_date).days <= 60}
    assert recent >= {"is_present", "agrees_with_other_source"}


def test_every_defect_is_in_the_bars_that_it_names(archive: Archive, market: Market) -> None:
    bars = {
        (source, bar["symbol"], bar["day"]): bar
        for source in ("kite", "yahoo")
        for bar in _rows(archive, market, f"{source}_daily_bars")
    }

    def is_flat(bar: Bar) -> bool:
        return len({bar[name] for name in ("open", "high", "low", "close")}) == 1 and bar["volume"] == 0

    def is_doubled(kite: Bar, yahoo: Bar) -> bool:
        return bool(abs(yahoo["close"] / kite["close"] - 2) < 1e-3)

    def shows(defect: Defect, symbol: str) -> bool:
        kite, yahoo = (bars.get((source, symbol, defect.trade_date), {}) for source in ("kite", "yahoo"))
        marts_bar = kite if defect.source_id == "kite" else yahoo
        seen: dict[str | None, Callable[[], bool]] = {
            None: lambda: (
                bool(kite) and (not yahoo or is_flat(yahoo) or is_doubled(kite, yahoo) or defect.is_true_jump)
            ),
            "is_present": lambda: not kite and not yahoo,
            "is_on_session": lambda: not kite and is_flat(yahoo),
            "is_traded": lambda: not kite and is_flat(yahoo),
            "has_positive_prices": lambda: marts_bar["close"] in (0, None),
            "has_highest_high": lambda: not kite and yahoo["high"] < yahoo["close"],
            "agrees_with_other_source": lambda: 1.009 < yahoo["close"] / kite["close"] < 1.011,
            "is_reconciled": lambda: not kite and bool(yahoo),
            "has_settled_scale": lambda: not kite and bool(yahoo),
            "is_from_primary": lambda: any(abs(kite.get(n, 0) - yahoo[n]) > 0.01 for n in ("high", "close")),
        }
        return seen.get(defect.check_id, lambda: bool(marts_bar))()

    missed = [(d, s) for d in market.defects for s in d.symbols if not shows(d, s)]
    assert not missed


def test_half_applied_splits_end_with_the_year(archive: Archive, market: Market) -> None:
    bars = {(bar["symbol"], bar["day"]): bar["close"] for bar in _rows(archive, market, "yahoo_daily_bars")}
    known = [row for row in _rows(archive, market, "yahoo_corporate_actions") if row["split_ratio"] == 4]
    assert len(known) == 2
    for row in known:
        before, after = bars[row["symbol"], date(2024, 12, 31)], bars[row["symbol"], date(2025, 1, 1)]
        assert before / after == pytest.approx(4, rel=0.1)
        assert row["day"] > date(2025, 1, 1)


def test_the_true_jump_is_in_both_sources(archive: Archive, market: Market) -> None:
    (jump,) = [d for d in market.defects if d.is_true_jump]
    days = [session.trade_date for session in trading_sessions(FIRST, LAST)]
    day_before = days[days.index(jump.trade_date) - 1]
    for table in ("kite_daily_bars", "yahoo_daily_bars"):
        closes = {(bar["symbol"], bar["day"]): bar["close"] for bar in _rows(archive, market, table)}
        move = closes[jump.symbols[0], jump.trade_date] / closes[jump.symbols[0], day_before]
        assert move == pytest.approx(1.4, abs=0.01)


def test_a_dividend_lowers_the_adjusted_closes_before_it(archive: Archive, market: Market) -> None:
    (paid,) = [row for row in _rows(archive, market, "yahoo_corporate_actions") if row["dividend"]]
    for bar in _rows(archive, market, "yahoo_daily_bars"):
        if bar["close"] is not None:
            is_lowered = bar["symbol"] == paid["symbol"] and bar["day"] < paid["day"]
            assert bar["adj_close"] / bar["close"] == pytest.approx(0.99 if is_lowered else 1, abs=2e-4), bar


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2021, 1, 1), date(2021, 12, 31)),
        (date(2021, 12, 27), date(2022, 12, 27)),
        (date(2023, 7, 1), date(2024, 6, 30)),
    ],
)
def test_any_year_of_twelve_instruments_holds_the_defects(tmp_path: Path, first: date, last: date) -> None:
    market = write_market(Archive(str(tmp_path)), first=first, last=last, symbols=SYMBOLS[:12], seed=SEED)
    assert len({(defect.check_id, defect.source_id) for defect in market.defects}) == 11
    # No instrument is listed within the range, so the placeholders before a listing are not there.
    assert "is_after_listing" not in {defect.check_id for defect in market.defects}


@pytest.mark.parametrize(("last", "count"), [(LAST, 3), (date(2024, 2, 29), 14)])
def test_a_market_too_small_for_defects_has_none(tmp_path: Path, last: date, count: int) -> None:
    archive = Archive(str(tmp_path))
    market = write_market(archive, first=FIRST, last=last, symbols=SYMBOLS[:count], seed=SEED)
    assert market.defects == ()
    sessions = len(trading_sessions(FIRST, last))
    # Once from each source, and once more from Kite for each daily run.
    assert market.bar_count == count * (2 * sessions + 5)


def test_unusable_arguments_are_named(tmp_path: Path) -> None:
    archive = Archive(str(tmp_path))
    with pytest.raises(ValueError, match="NOSUCH"):
        write_market(archive, first=FIRST, last=LAST, symbols=["ABB", "NOSUCH"])
    with pytest.raises(ValueError, match="5 sessions"):
        write_market(archive, first=date(2024, 1, 1), last=date(2024, 1, 5))
    assert archive.paths() == []


def test_command_says_that_prices_are_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--archive", str(tmp_path), "--first", "2026-10-01", "--symbols", "ABB,ACC"]
    now = datetime(2026, 11, 24, 4, tzinfo=UTC)
    assert main(arguments, now) == 0
    said = capsys.readouterr().out
    assert "simulated" in said
    assert "100.00" in said
    assert "2026-10-01 to 2026-11-23" in said
    # Another market does not fit into the same archive.
    assert main([*arguments, "--seed", "1"], now) == 1
    assert "empty archive" in capsys.readouterr().err
