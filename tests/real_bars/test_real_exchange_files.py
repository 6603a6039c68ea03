"""The exchange's real files: its lists of five years, and 1,290 of its records of corporate actions."""

from datetime import date

import pytest

from tests.conftest import Pipeline

# A placeholder stood for one of the 500 on 2025-09-11; two shares of TATAMOTORS made 501 until 2023.
LISTS = {
    ("NIFTY 500", date(2021, 7, 20)): 501,
    ("NIFTY 500", date(2023, 4, 6)): 501,
    ("NIFTY 500", date(2024, 11, 18)): 500,
    ("NIFTY 500", date(2025, 9, 11)): 500,
    ("NIFTY 500", date(2026, 3, 5)): 500,
    ("NIFTY LargeMidcap 250", date(2025, 9, 11)): 250,
}


def test_every_list_has_its_members_and_no_placeholder(real: Pipeline) -> None:
    members = real.query(
        "select lists.index_name, list_date, count(*) from `{d}.dim_index_memberships` as memberships inner join ("
        "select index_name, list_date from `{d}_staging.stg_nse__index_constituents` group by index_name, list_date"
        ") as lists on memberships.index_name = lists.index_name"
        " and lists.list_date between memberships.seen_from and memberships.seen_to"
        " group by lists.index_name, lists.list_date"
    )
    assert {(index, day): count for index, day, count in members} == LISTS


@pytest.mark.parametrize(
    ("symbol", "seen_from", "seen_to", "is_ours"),
    [
        # ZOMATO came in July 2021, after the first list, and is ETERNAL since 2025.
        ("ETERNAL", date(2023, 4, 6), date(2026, 3, 5), True),
        # Another ISIN since its face value was split in 2022.
        ("TATASTEEL", date(2021, 7, 20), date(2026, 3, 5), True),
        # Merged into HDFCBANK in July 2023.
        ("HDFC", date(2021, 7, 20), date(2023, 4, 6), False),
    ],
)
def test_a_membership_outlasts_a_new_name_and_a_new_isin(
    real: Pipeline, symbol: str, seen_from: date, seen_to: date, is_ours: bool
) -> None:
    assert real.query(
        "select seen_from, seen_to, instrument_id is not null from `{d}.dim_index_memberships`"
        f" where index_name = 'NIFTY 500' and symbol = '{symbol}'"
    ) == [(seen_from, seen_to, is_ours)]


def test_every_record_of_a_corporate_action_is_read(real: Pipeline) -> None:
    counts = real.query(
        "select kind, count(*), countif(dividend_amount > 0), countif(share_ratio > 1)"
        " from `{d}_staging.stg_nse__corporate_actions` where kind != 'other' group by kind order by kind"
    )
    # One record says "Interim Dividend", and no amount.
    assert counts == [
        ("bonus", 22, 0, 22),
        ("buyback", 14, 0, 0),
        ("demerger", 4, 0, 0),
        ("dividend", 1075, 1074, 0),
        ("rights", 10, 0, 0),
        ("split", 14, 0, 14),
    ]


@pytest.mark.parametrize(
    ("symbol", "kind", "ex_date", "share_ratio", "dividend_amount"),
    [
        ("TATASTEEL", "split", date(2022, 7, 28), 10, None),
        # A bonus of 1:1, and a face value of Rs 5 that became Re 1, on one day.
        ("BAJAJFINSV", "split_and_bonus", date(2022, 9, 13), 10, None),
        ("POWERGRID", "bonus", date(2021, 7, 29), 1.333333, None),
        ("TECHM", "dividend", date(2020, 3, 2), None, 10),
    ],
)
def test_a_known_action_is_in_the_mart(
    real: Pipeline,
    symbol: str,
    kind: str,
    ex_date: date,
    share_ratio: float | None,
    dividend_amount: int | None,
) -> None:
    assert real.query(
        "select starts_with(reported_by, 'nse'), share_ratio, dividend_amount from `{d}.fct_corporate_actions`"
        f" where symbol = '{symbol}' and kind = '{kind}' and ex_date = date '{ex_date}'"
    ) == [(True, share_ratio, dividend_amount)]


def test_debentures_instead_of_shares_are_no_share_event(real: Pipeline) -> None:
    assert (
        real.query(
            "select ex_date from `{d}.fct_corporate_actions` where symbol = 'BRITANNIA'"
            " and share_ratio > 0 and ex_date > date '2020-01-01'"
        )
        == []
    )
