"""Real dividends have the yield that the exchange's own closes give, and Kite's closes come back to the exchange's."""

from bisect import bisect_left
from collections import defaultdict
from datetime import date, timedelta

import pyarrow.parquet as pq
import pytest

from tests.conftest import Pipeline
from tests.real_bars.importer import SHARED_DATA

REFERENCE = SHARED_DATA / "nse_reference_20_symbols_2010_to_2024-06.parquet"

# Kite's file of 2025-07-02 begins here.
_BEGIN, _END = date(2021, 7, 5), date(2024, 6, 28)


def _exchange_closes() -> dict[str, dict[date, float]]:
    """The exchange's closes, in shares of 2025: splits and bonuses are taken out of the record, and nothing else."""
    closes: dict[str, dict[date, float]] = defaultdict(dict)
    if REFERENCE.is_file():
        for row in pq.read_table(REFERENCE, columns=["symbol", "Date", "Close"]).to_pylist():
            closes[row["symbol"]][date.fromisoformat(row["Date"])] = row["Close"]
    return closes


@pytest.fixture(scope="module")
def exchange_closes() -> dict[str, dict[date, float]]:
    return _exchange_closes()


# Yahoo has lowered its closes before a demerger and left its dividends as they were, so they look larger: until when,
# and by how much. Dividends before rights are lowered with
# its closes, so the yield is right, and the amount alone is not that of the time.
LOWERED_BY_YAHOO = {
    "ABB": [(date(2019, 12, 20), 1.1015)],
    "ADANIENT": [(date(2015, 6, 3), 6.524), (date(2018, 4, 5), 1.835), (date(2018, 9, 6), 1.5585)],
    "BHARTIARTL": [(date(2019, 4, 24), 1.1096)],
    "ITC": [(date(2025, 1, 6), 1.0385)],
    "RELIANCE": [(date(2020, 5, 13), 1.0936), (date(2023, 7, 20), 1.0834)],
    "TATASTEEL": [(date(2018, 1, 31), 1.0496)],
}


def test_every_yield_is_the_amount_by_the_exchanges_close(
    real: Pipeline, exchange_closes: dict[str, dict[date, float]]
) -> None:
    factors = defaultdict(list)
    for symbol, factor, first, end in real.query(
        "select symbol, share_factor, valid_from, valid_to from `{d}_intermediate.int_share_factors`"
    ):
        factors[symbol].append((factor, first, end))
    sessions = {symbol: sorted(closes) for symbol, closes in exchange_closes.items()}
    wrong, count = [], 0
    for symbol, ex_date, amount, dividend_yield in real.query(
        "select symbol, ex_date, dividend_amount, dividend_yield from `{d}_intermediate.int_dividends__reconciled`"
        " where dividend_yield is not null"
    ):
        place = bisect_left(sessions.get(symbol, []), ex_date) - 1
        if place < 0 or ex_date - sessions[symbol][place] > timedelta(days=10):
            continue
        day_before = ex_date - timedelta(days=1)
        (factor,) = [f for f, first, end in factors[symbol] if first <= day_before < end] or [1]
        traded = exchange_closes[symbol][sessions[symbol][place]] / factor
        expected = next((by for until, by in LOWERED_BY_YAHOO.get(symbol, []) if ex_date < until), 1)
        count += 1
        if abs(dividend_yield / (amount / traded) / expected - 1) > 0.02:
            wrong.append((symbol, ex_date, amount, dividend_yield, round(dividend_yield / (amount / traded), 4)))
    assert wrong == []
    assert count == 363


@pytest.mark.parametrize("symbol", ["GAIL", "IOC", "TATASTEEL"])
def test_kites_closes_come_back_to_the_exchanges(
    real: Pipeline, exchange_closes: dict[str, dict[date, float]], symbol: str
) -> None:
    # In this file, Kite has subtracted IOC's of 2023-07, 2023-11 and 2024-07, GAIL's of 2024-02 and TATASTEEL's of
    # 2024-06, and multiplied those of 2025.
    closes = real.query(
        "select trade_date, close from `{d}_intermediate.int_bars__rebased`"
        f" where symbol = '{symbol}' and source_id = 'kite' and trade_date between '{_BEGIN}' and '{_END}'"
    )
    apart = [
        (day, round(float(close) / exchange_closes[symbol][day], 4))
        for day, close in closes
        if abs(float(close) / exchange_closes[symbol][day] - 1) > 0.005
    ]
    assert apart == []
    assert len(closes) > 700


def test_dividends_that_kite_multiplied_when_the_rule_says_subtracted(real: Pipeline) -> None:
    # ONGC's 5.75 of 2023-11-21 and 6.00 of 2024-11-19. Yahoo's closes of these years equal the exchange's.
    ((count, apart),) = real.query(
        "select count(*), countif(abs(kite.close / yahoo.close - 1) > 0.005)"
        " from `{d}_intermediate.int_bars__rebased` as kite inner join `{d}_intermediate.int_bars__rebased` as yahoo"
        " on kite.symbol = yahoo.symbol and kite.trade_date = yahoo.trade_date"
        " where kite.symbol = 'ONGC' and kite.source_id = 'kite' and yahoo.source_id = 'yahoo'"
        f" and kite.trade_date >= '{_BEGIN}'"
    )
    assert (count > 700, apart) == (True, 0)


@pytest.mark.parametrize(
    ("symbol", "ex_date", "dividend_amount", "dividend_yield"),
    [
        # Yahoo has 5.1 and, a day later, 51; the share split 10 for 1 six weeks later.
        ("TATASTEEL", date(2022, 6, 15), 51, 0.0512),
        # On the day of its bonus: Re 1 of a share held before, of about 970 rupees.
        ("UNOMINDA", date(2022, 7, 7), 1, 0.00103),
        ("IOC", date(2021, 8, 5), 1.5, 0.01425),
    ],
)
def test_a_known_dividend(
    real: Pipeline, symbol: str, ex_date: date, dividend_amount: float, dividend_yield: float
) -> None:
    rows = real.query(
        "select ex_date, dividend_amount, dividend_yield from `{d}_intermediate.int_dividends__reconciled`"
        f" where symbol = '{symbol}' and abs(date_diff(ex_date, date '{ex_date}', day)) <= 5"
    )
    ((day, amount, by_close),) = rows
    assert (day, amount) == (ex_date, pytest.approx(dividend_amount, rel=1e-4))
    assert by_close == pytest.approx(dividend_yield, rel=0.01)
