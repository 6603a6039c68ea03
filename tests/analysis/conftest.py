"""A small market with defects, actions that the exchange names, index lists of two days, and a split that came late."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from extract.files.take import take_files
from extract.landing.archive import Archive
from extract.landing.raw import KITE_DAILY_BARS, YAHOO_CORPORATE_ACTIONS, YAHOO_DAILY_BARS
from extract.landing.raw_table import RawTable
from extract.seeds import EXCHANGE_ZONE
from infra.local.market import write_market
from tests.conftest import Pipeline, copied, made_once, write_bars

SYMBOLS = ("360ONE", "3MINDIA", "ABB", "ACC", "BAJAJHFL", "BEL", "DLF", "GAIL", "INFY", "ITC", "LT", "SBIN", "TCS")
IMPORTED_ON = date(2025, 5, 1)
FIRST, LAST = date(2024, 1, 1), date(2025, 4, 30)

# VOLTAS pays 40 of some 1,000 rupees on the one day, and splits 2 for 1 on the other.
DIVIDEND_ON, SPLIT_ON = date(2024, 6, 26), date(2024, 6, 28)

_ACTIONS = (
    "symbol,series,ind,faceVal,subject,exDate,recDate,bcStartDate,bcEndDate,ndStartDate,"
    "comp,isin,ndEndDate,caBroadcastDate"
)
_NAMED = (
    ("INFY", "Bonus 1:1", "28-Jun-2024"),
    ("TCS", "Face Value Split (Sub-Division) - From Rs 10/- Per Share To Rs 2/- Per Share", "14-Aug-2024"),
    ("ITC", "Demerger", "06-Jan-2025"),
    ("LT", "Rights 1:10 @ Premium Rs 90/-", "10-Sep-2024"),
    ("SBIN", "Dividend - Rs 2 Per Share", "22-May-2024"),
)
# The record of a day: a share of ours as our sources have it, a member that has left, and a share that never was ours.
RECORD = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN"
_TRADED = (
    "VOLTAS,EQ,494,494,494,494,494,493.5,2000,988000,28-JUN-2024,40,INE226A01021",
    "GONE,EQ,50,50,50,50,50,50,100,5000,28-JUN-2024,4,INE000G01019",
    "GONE,BL,49,49,49,49,49,50,100,4900,28-JUN-2024,1,INE000G01019",
    "FORGED,BE,20.5,20.5,20.5,20.5,20.5,20,300,6150,28-JUN-2024,4,INE999Z01012",
)
_LIST = "Company Name,Industry,Symbol,Series,ISIN Code"
ABB, ACC, BEL, GONE = (
    ("ABB", "INE117A01022"),
    ("ACC", "INE012A01025"),
    ("BEL", "INE263A01024"),
    ("GONE", "INE000G01019"),
)


@pytest.fixture(scope="session")
def market_folder(tmp_path_factory: pytest.TempPathFactory, empty_marts: Path) -> Path:
    """The archive and the warehouse of the market, for all workers to copy."""

    def make(folder: Path) -> None:
        with copied(empty_marts, folder / "warehouse") as warehouse_dir:
            pipeline = Pipeline(folder / "archive", warehouse_dir, runs_data_tests=False)
            write_market(pipeline.archive, first=FIRST, last=LAST, symbols=SYMBOLS)
            send_a_split_that_comes_late(pipeline.archive)
            import_records(pipeline.archive, folder)
            pipeline.replay()
            pipeline.build()

    return made_once(tmp_path_factory, "analysts-market", make)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory, market_folder: Path) -> Iterator[Pipeline]:
    """The market, built, with its warehouse running."""
    folder = tmp_path_factory.mktemp("analyst")
    shutil.copytree(market_folder / "archive", folder / "archive")
    with copied(market_folder / "warehouse", folder / "warehouse") as warehouse_dir:
        yield Pipeline(folder / "archive", warehouse_dir)


def import_records(archive: Archive, folder: Path) -> None:
    """Take in a list of actions, the record of a day, and two lists of an index, which differ by a share each way."""
    records = [f"{symbol},EQ,-,10,{subject},{day},-,-,-,-,Invented Limited,,-," for symbol, subject, day in _NAMED]
    import_files(
        archive,
        folder,
        {
            "CF-CA-equities.csv": (_ACTIONS, *records),
            "cm28JUN2024bhav.csv": (RECORD, *_TRADED),
            "ind_nifty50list_2024-03-28.csv": index_list(ABB, ACC, GONE),
            "ind_nifty50list_2024-09-30.csv": index_list(ABB, BEL),
        },
    )


def import_files(archive: Archive, folder: Path, texts: Mapping[str, Sequence[str]], today: date = IMPORTED_ON) -> None:
    """Take in the exchange's files, each with these lines."""
    for name, lines in texts.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    reports = take_files(archive, [folder / name for name in texts], today, lambda *_: None)
    assert [report.reason for report in reports if not report.paths] == []


def index_list(*members: tuple[str, str]) -> list[str]:
    """The lines of a list of an index with these members, each a symbol and an ISIN."""
    return [_LIST, *(f"{symbol} Ltd.,Things,{symbol},EQ,{isin}" for symbol, isin in members)]


def send_a_split_that_comes_late(archive: Archive) -> None:
    """VOLTAS, as it was sent on the evening of 25 June, of 26 June, and with the split after 28 June."""
    dividend_on, split_on = (
        datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE) for day in (DIVIDEND_ON, SPLIT_ON)
    )
    days = [datetime(2024, 6, day, tzinfo=EXCHANGE_ZONE) for day in (18, 19, 20, 21, 24, 25, 26, 27, 28)]

    def send(table: RawTable, received: datetime) -> None:
        is_split = received > split_on
        rows = []
        for day in (day for day in days if day < received):
            factor = 0.5 if is_split or day >= split_on else 1.0
            price = (1000.0 + day.day - (40.0 if day >= dividend_on else 0.0)) * factor
            rows.append(
                {
                    "symbol": "VOLTAS",
                    "date": day,
                    **dict.fromkeys(("open", "high", "low", "close"), price),
                    "volume": round(1000 / factor),
                }
            )
        write_bars(archive, table, f"voltas-{received:%d-%H}", received, *rows)

    for table in (KITE_DAILY_BARS, YAHOO_DAILY_BARS):
        for received in (
            dividend_on - timedelta(hours=6),
            dividend_on + timedelta(hours=33),
            split_on + timedelta(hours=34),
        ):
            send(table, received)
    for day, dividend, split_ratio in ((dividend_on, 40.0, 0.0), (split_on, 0.0, 2.0)):
        action = {"symbol": "VOLTAS", "date": day, "dividend": dividend, "split_ratio": split_ratio}
        write_bars(archive, YAHOO_CORPORATE_ACTIONS, f"voltas-{day:%d}", day + timedelta(hours=19), action)
