"""The exchange's lists of a simulated market, as a person would have downloaded them: corporate actions, an index."""

import csv
from datetime import date
from pathlib import Path

from infra.local.daily_records import DELISTED, DELISTED_ISIN, isins
from infra.local.series import Draft, ex_date_of

# A member of the older list only.
_LEFT = ("Left Limited", "Things", DELISTED, "EQ", DELISTED_ISIN)


def write_actions(market: Draft, folder: Path) -> Path:
    """Write the list of the actions that Yahoo reports too, named and headed as by the button of the exchange's site.

    Args:
        market: from ``infra.local.market.draft_market``.
        folder: where the file goes; it exists.
    """
    records = sorted(
        (ex_date_of(action), str(action["symbol"]), _subject(action)) for action in market.corporate_actions
    )
    first, last = (session.trade_date for session in (market.sessions[0], market.sessions[-1]))
    path = folder / f"CF-CA-equities-{first:%d-%m-%Y}-to-{last:%d-%m-%Y}.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        out = csv.writer(file, quoting=csv.QUOTE_ALL)
        out.writerow(["SYMBOL", "COMPANY NAME", "SERIES", "PURPOSE", "FACE VALUE", "EX-DATE", "RECORD DATE"])
        for day, symbol, subject in records:
            out.writerow([symbol, f"{symbol} Simulated", "EQ", subject, "10", f"{day:%d-%b-%Y}", f"{day:%d-%b-%Y}"])
    return path


def write_index_lists(market: Draft, folder: Path, *days: date) -> list[Path]:
    """Write a list of the NIFTY LargeMidcap 250 for each of these days; one share is only in the first list.

    Args:
        market: whose instruments are the members.
        folder: where the files go; it exists.
        days: the days of the lists.
    """
    isin_of = isins()
    symbols = [instrument.symbol for instrument in market.instruments]
    members = [(f"{symbol} Simulated", "Things", symbol, "EQ", isin_of[symbol]) for symbol in symbols]
    paths = []
    for number, day in enumerate(days):
        paths.append(folder / f"ind_niftylargemidcap250list_{day}.csv")
        with paths[-1].open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["Company Name", "Industry", "Symbol", "Series", "ISIN Code"])
            out.writerows([*members, _LEFT] if number == 0 else members)
    return paths


def _subject(action: dict[str, object]) -> str:
    ratio = action["split_ratio"]
    assert isinstance(ratio, float)
    if ratio:
        return f"Face Value Split (Sub-Division) - From Rs 10/- Per Share To Rs {10 / ratio:g}/- Per Share"
    return f"Interim Dividend - Rs {action['dividend']:.2f} Per Share"
