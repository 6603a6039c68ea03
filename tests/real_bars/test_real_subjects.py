"""The subjects of the exchange's real records are read as Yahoo's amounts and ratios say, or left to others."""

import csv
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pipeline, copied
from tests.real_bars.importer import SHARED_DATA, taken

RECORDS = SHARED_DATA / "nse_ca_records_2020_2025.csv"
SEEN_IN_PUBLIC = SHARED_DATA.parent / "samples" / "reported" / "exchange" / "subjects_seen_in_public.csv"
YAHOO_ACTIONS = SHARED_DATA / "dividends_splits_749sym_to_2025-06-06.csv"

# Each subject that was seen in public stands in that file under an ex-date of its own. What a person reads in them: the
# product of the ratios, and the sum of the dividends; those that are not here have neither.
RATIOS = {
    date(2024, 3, 11): 4.0,
    date(2024, 3, 25): 10.0,
    date(2024, 4, 8): 7.5,
    date(2024, 4, 22): 5.0,
    date(2024, 5, 6): 5.0,
    date(2024, 5, 20): 5.0,
    date(2024, 6, 3): 0.1,
    date(2024, 7, 1): 2.0,
    date(2024, 7, 15): 1.5,
    date(2024, 7, 29): 2.0,
    date(2024, 8, 12): 10.0,
    date(2025, 5, 19): 2.0,
}
AMOUNTS = {
    date(2024, 7, 1): 29.0,
    date(2024, 8, 12): 6.0,
    date(2024, 8, 26): 3.5,
    date(2024, 9, 9): 349.0,
    date(2024, 9, 23): 27.5,
    date(2024, 11, 4): 160.0,
    date(2024, 11, 18): 6.0,
    date(2024, 12, 2): 1.5,
    date(2024, 12, 16): 3.0,
    date(2025, 4, 7): 1.0,
    date(2025, 7, 21): 1000.0,
}
LEFT = {
    date(2024, 10, 7): "two decimal points",
    date(2024, 10, 21): "Rs.0125",
    date(2024, 12, 30): "a percentage",
    date(2025, 1, 13): "no amount",
    date(2025, 5, 5): "a distribution, of which the dividend is a part",
    date(2025, 6, 9): "a bonus of 1:0",
    date(2025, 6, 23): "no ratio",
    date(2025, 7, 7): "a bonus of an amalgamation: the subject does not tell who gets the shares",
}

# Yahoo divides the dividends before a rights issue too.
RIGHTS_FACTORS = {
    "BHARTIARTL": 0.981571,
    "GRASIM": 0.996040,
    "INDHOTEL": 0.969670,
    "M&MFIN": 0.972991,
    "TATACONSUM": 0.987723,
    "UPL": 0.959243,
}

# Yahoo has the split of 5:1 of that day and not the bonus of 1:1, and divides older dividends by 10.
YAHOO_IS_WRONG_ABOUT_SHARES = {("BAJAJFINSV", date(2022, 9, 13))}
# 2.25 was paid; Yahoo has the final dividend of that year twice.
YAHOO_IS_WRONG_ABOUT_DIVIDENDS = {("NTPC", date(2024, 2, 6))}


@dataclass
class OfOneDay:
    """What the exchange's records say of one share and ex-date."""

    dividends: list[float | None] = field(default_factory=list)
    ratios: list[float | None] = field(default_factory=list)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, empty_marts: Path) -> dict[Path, list[Mapping[str, Any]]]:
    """What staging makes of the records of each file. It is a view: nothing has to be built."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real market data is not here")
    folder = tmp_path_factory.mktemp("subjects")
    days = {RECORDS: date(2025, 9, 17), SEEN_IN_PUBLIC: date(2025, 9, 18)}
    with copied(empty_marts, folder / "warehouse") as warehouse_dir:
        made = Pipeline(folder / "archive", warehouse_dir)
        paths = [batch for path, day in days.items() for batch in taken(made.archive, path, as_of=day)]
        assert made.replay().loaded == len(paths)
        with made.warehouse() as warehouse:
            staging = f"`{warehouse.client.project}.{warehouse.dataset}_staging.stg_nse__corporate_actions`"
            asked = f"select * from {staging} where date(extracted_at, 'Asia/Kolkata') = date "
            return {path: list(warehouse.query(f"{asked}'{day}'")) for path, day in days.items()}


def test_what_was_seen_in_public_is_read_as_a_person_reads_it(parts: dict[Path, list[Mapping[str, Any]]]) -> None:
    records = defaultdict(list)
    for part in parts[SEEN_IN_PUBLIC]:
        records[part["ex_date"]].append(part)
    ratios = {}
    amounts = {}
    left = set()
    for ex_date, record in records.items():
        read = [part["share_ratio"] for part in record if part["share_ratio"] is not None]
        if read:
            ratios[ex_date] = round(math.prod(read), 6)
        paid = [float(part["dividend_amount"]) for part in record if part["dividend_amount"] is not None]
        if paid:
            amounts[ex_date] = sum(paid)
        if not all(part["is_read"] for part in record):
            left.add(ex_date)
    print(f"seen in public: {len(records)} records, {len(records) - len(left)} read, {len(left)} left")
    assert ratios == RATIOS
    assert amounts == AMOUNTS
    assert left == LEFT.keys()


def test_every_real_record_but_one_is_read(parts: dict[Path, list[Mapping[str, Any]]]) -> None:
    unread = [part for part in parts[RECORDS] if not part["is_read"]]
    print(f"records of 2020 to 2025: {len(parts[RECORDS])} parts, {len(unread)} left")
    assert [(part["symbol"], part["subject"]) for part in unread] == [("VEDL", "Interim Dividend")]
    assert not [part for part in parts[RECORDS] if part["kind"] in ("scheme", "unreadable")]


def test_no_real_record_is_read_otherwise_than_yahoo_has_it(parts: dict[Path, list[Mapping[str, Any]]]) -> None:
    exchange: dict[tuple[str, date], OfOneDay] = defaultdict(OfOneDay)
    for part in parts[RECORDS]:
        if part["is_of_shares"]:
            of_day = exchange[part["symbol"], part["ex_date"]]
            if part["kind"] == "dividend":
                amount = part["dividend_amount"]
                of_day.dividends.append(None if amount is None else float(amount))
            if part["kind"] in ("bonus", "split"):
                of_day.ratios.append(part["share_ratio"])
    dividends: dict[tuple[str, date], float] = {}
    ratios: dict[tuple[str, date], float] = {}
    with YAHOO_ACTIONS.open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["symbol"], date.fromisoformat(row["Date"][:10])
            if float(row["Dividends"]):
                dividends[key] = float(row["Dividends"])
            if float(row["Stock Splits"]):
                ratios[key] = float(row["Stock Splits"])

    read_ratios = {
        key: math.prod(ratio for ratio in of_day.ratios if ratio is not None)
        for key, of_day in exchange.items()
        if of_day.ratios and None not in of_day.ratios
    }
    compared_ratios = {key: ratio for key, ratio in read_ratios.items() if key in ratios}
    wrong_ratios = {
        key for key, ratio in compared_ratios.items() if not math.isclose(ratio, ratios[key], rel_tol=0.00001)
    }

    def later(symbol: str, ex_date: date, events: Mapping[tuple[str, date], float]) -> float:
        return math.prod(ratio for (of, day), ratio in events.items() if of == symbol and day > ex_date)

    compared_dividends = {
        key: [amount for amount in of_day.dividends if amount is not None]
        for key, of_day in exchange.items()
        if of_day.dividends and None not in of_day.dividends and key in dividends
    }
    wrong_dividends = set()
    only_one_of_two = 0
    for key, amounts in compared_dividends.items():
        # Yahoo's amounts are in shares of its last split. It has some splits twice, and the exchange's file ends early.
        factors = {1.0, later(*key, ratios), later(*key, read_ratios)}
        rights = RIGHTS_FACTORS.get(key[0], 1.0)
        yahoo = {dividends[key] * factor / by for factor in factors for by in (1.0, rights)}
        if any(math.isclose(sum(amounts), amount, rel_tol=0.001) for amount in yahoo):
            continue
        # Of two dividends of one day Yahoo often has only one.
        if any(math.isclose(part, amount, rel_tol=0.001) for part in amounts for amount in yahoo):
            only_one_of_two += 1
        else:
            wrong_dividends.add(key)
    print(
        f"against Yahoo: {len(compared_ratios)} days with a ratio, {len(compared_dividends)} with dividends,"
        f" of {only_one_of_two} of which Yahoo has one of several"
    )
    assert len(compared_ratios) > 25
    assert len(compared_dividends) > 900
    assert wrong_ratios == YAHOO_IS_WRONG_ABOUT_SHARES
    assert wrong_dividends == YAHOO_IS_WRONG_ABOUT_DIVIDENDS
