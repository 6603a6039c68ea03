"""The exchange's daily record in its three forms, of invented companies: what is taken, and what is refused by name."""

import csv
import json
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest

from extract.errors import PipelineError
from extract.files import read, shares
from extract.files.daily_record.by_columns import read_by_columns
from extract.files.days import days_in_name
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport
from extract.files.report import say_import
from extract.files.take import take_files
from extract.landing.archive import Archive
from extract.landing.raw import NSE_DAILY_BARS, NSE_FILES
from extract.seeds import listed_instruments
from extract.settings import PROJECT_DIR
from infra.local.daily_records import write_daily_records
from infra.local.market import draft_market
from tests.conftest import Pipeline

TODAY = date(2026, 11, 27)
DAY = date(2024, 7, 5)

LEGACY = (
    "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n"
    "INVENTED,EQ,100,102.5,99.95,101,101.05,99.9,1000,100500.5,05-JUL-2024,40,INE000A01001,\n"
    "INVENTED,BL,101,101,101,101,101,99.9,500000,50500000,05-JUL-2024,1,INE000A01001,\n"
    "FEIGN&D,BE,9.5,9.5,9.2,9.3,9.3,9.4,77,715,05-JUL-2024,3,INE000B01001,\n"
)
# Before ISIN, and before the number of trades.
OLDEST = "".join(f"{','.join(line.split(',')[:11])},\n" for line in LEGACY.splitlines())
UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,"
    "TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4\n"
    "2024-07-05,2024-07-05,CM,NSE,STK,7,INE000A01001,INVENTED,EQ,,,,,INVENTED LTD,100.00,102.50,99.95,101.00,101.05,"
    "99.90,,101.00,,,1000,100500.50,40,F1,1,,,,,\n"
    "2024-07-05,2024-07-05,CM,NSE,STK,7,INE000A01001,INVENTED,BL,,,,,INVENTED LTD,101.00,101.00,101.00,101.00,101.00,"
    "99.90,,101.00,,,500000,50500000.00,1,F1,1,,,,,\n"
    "2024-07-05,2024-07-05,CM,NSE,STK,8,INE000B01001,FEIGN&D,BE,,,,,FEIGNED LTD,9.50,9.50,9.20,9.30,9.30,"
    "9.40,,9.30,,,77,715.00,3,F1,1,,,,,\n"
)
DELIVERED = (
    "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE,"
    " TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER\n"
    "INVENTED, EQ, 05-Jul-2024, 99.90, 100.00, 102.50, 99.95, 101.05, 101.00, 100.50, 1000, 1.01, 40, 600, 60.00\n"
    "INVENTED, BL, 05-Jul-2024, 99.90, 101.00, 101.00, 101.00, 101.00, 101.00, 101.00, 500000, 505.00, 1, -, -\n"
    "FEIGN&D, BE, 05-Jul-2024, 9.40, 9.50, 9.50, 9.20, 9.30, 9.30, 9.29, 77, 0.01, 3, 77, 100.00\n"
)
FORMS = {"legacy": LEGACY, "oldest": OLDEST, "UDiFF": UDIFF, "with delivery": DELIVERED}

INVENTED = {
    "open": 100.0,
    "high": 102.5,
    "low": 99.95,
    "close": 101.0,
    "last": 101.05,
    "prev_close": 99.9,
    "volume": 1000,
}


def _take(folder: Path, *paths: Path, **options: Any) -> list[FileReport]:
    return take_files(Archive(str(folder / "archive")), paths, TODAY, lambda *_: None, **options)


def _one(folder: Path, body: str | bytes, name: str = "record.csv") -> tuple[FileReport, list[dict[str, Any]]]:
    """What becomes of a file alone, and its rows."""
    path = folder / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    (report,) = _take(folder, path)
    return report, _rows(folder)


def _rows(folder: Path, table: str = NSE_DAILY_BARS.name) -> list[dict[str, Any]]:
    archive = Archive(str(folder / "archive"))
    return [row for path in archive.paths() if path.startswith(table) for row in archive.read(path).rows.to_pylist()]


def _by_rows(body: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read.identify(body.encode()).read_record("record.csv", TODAY).rows.to_pylist()
    return rows


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_same_rows_but_for_what_it_lacks(tmp_path: Path, form: str) -> None:
    report, rows = _one(tmp_path, FORMS[form])
    assert (report.outcome, report.as_of, report.shortfalls) == (TAKEN, DAY, [])
    assert [(row["symbol"], row["series"], row["date"]) for row in rows] == [
        ("INVENTED", "EQ", DAY),
        ("INVENTED", "BL", DAY),
        ("FEIGN&D", "BE", DAY),
    ]
    assert {name: rows[0][name] for name in INVENTED} == INVENTED
    held = {name: rows[0][name] for name in ("isin", "exchange_token", "turnover", "trades", "delivered_volume")}
    assert held == {
        "isin": "INE000A01001" if form in ("legacy", "UDiFF") else None,
        "exchange_token": 7 if form == "UDiFF" else None,
        "turnover": 101_000.0 if form == "with delivery" else 100_500.5,
        "trades": None if form == "oldest" else 40,
        "delivered_volume": 600 if form == "with delivery" else None,
    }
    assert rows[1]["delivered_volume"] is None


@pytest.mark.parametrize("form", FORMS)
def test_both_ways_of_reading_read_the_same(form: str) -> None:
    record = read_by_columns(FORMS[form].encode(), "record.csv", TODAY)
    assert record is not None
    assert record.rows.to_pylist() == _by_rows(FORMS[form])


@pytest.mark.parametrize(
    ("volume", "is_taken"),
    [
        ("1.23E+08", False),
        ("1.23E08", False),
        ("1E5", False),
        ("1.00E+03", False),
        ("1.000E+03", True),
        ("1e+03", True),
    ],
)
def test_a_volume_that_a_spreadsheet_has_shortened_costs_its_row(tmp_path: Path, volume: str, is_taken: bool) -> None:
    report, rows = _one(tmp_path, LEGACY.replace(",1000,", f",{volume},"))
    assert [row["volume"] for row in rows] == ([1000] if is_taken else []) + [500_000, 77]
    told = f"line 2 INVENTED: its volume {volume} has lost its last digits; a spreadsheet shows it so"
    assert [*map(str, report.refused)] == ([] if is_taken else [told])


@pytest.mark.parametrize(
    ("prices", "turnover", "is_taken"),
    [
        ("100,102.5,99.95,101,101.05,99.9", "100500.5", True),
        # In whole rupees, and not written.
        ("100,102.5,99.95,101,101.05,99.9", "0", True),
        ("10000,10250,9995,10100,10105,9990", "100500.5", False),
        ("100,102.5,99.95,101,101.05,99.9", "10050050", False),
        ("100,102.5,99.95,101,101.05,99.9", "", True),
    ],
)
def test_prices_in_paise_are_told_by_the_turnover(tmp_path: Path, prices: str, turnover: str, is_taken: bool) -> None:
    others = "".join(
        f"SHARE{number},EQ,10,11,9,10,10,10,200,2000,05-JUL-2024,4,INE000C010{number},\n" for number in range(10, 40)
    )
    row = f"INVENTED,EQ,{prices},1000,{turnover},05-JUL-2024,40,INE000A01001,\n"
    report, rows = _one(tmp_path, LEGACY.partition("\n")[0] + "\n" + row + others)
    assert len(rows) == 30 + is_taken
    told = ["line 2 INVENTED: its turnover is not its volume at its prices; is one of them in paise?"]
    assert [*map(str, report.refused)] == ([] if is_taken else told)
    # A few rows cannot tell the unit of their turnover.
    (tmp_path / "few").mkdir()
    report, rows = _one(tmp_path / "few", LEGACY.partition("\n")[0] + "\n" + row)
    assert (len(rows), report.shortfalls) == (1, [])


@pytest.mark.parametrize("form", FORMS)
def test_a_symbol_as_a_provider_writes_it_is_read_by_rows(tmp_path: Path, form: str) -> None:
    for suffix in (".NS", ".BO"):
        assert (
            read_by_columns(FORMS[form].replace("INVENTED", f"INVENTED{suffix}").encode(), "record.csv", TODAY) is None
        )
    _, rows = _one(tmp_path, FORMS[form].replace("INVENTED", "INVENTED.NS"))
    assert {row["symbol"] for row in rows} == {"INVENTED", "FEIGN&D"}
    folder = tmp_path / "other"
    folder.mkdir()
    report, rows = _one(folder, FORMS[form].replace("INVENTED", "INVENTED.BO"))
    assert "INVENTED.BO" not in {row["symbol"] for row in rows}
    assert any("is of the BSE" in str(row) for row in report.refused) or "is of the BSE" in str(report.reason)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "dress",
    [
        lambda body: body.replace("\n", "\r\n").encode(),
        lambda body: body.encode("utf-8-sig"),
        lambda body: body.encode("utf-16"),
        lambda body: body.replace(",", ";").encode(),
        lambda body: (
            "\n".join(",".join(f'"{cell.strip()}"' for cell in line.split(",")) for line in body.splitlines()).encode()
            + b"\n"
        ),
        lambda body: f"NSE\n\n{body}\n\n".encode(),
        lambda body: (
            pd.read_csv(pd.io.common.StringIO(body), index_col=False, dtype=str)
            .iloc[:, ::-1]
            .to_json(orient="records")
            .encode()
        ),
        lambda body: body.replace("05-JUL-2024", "5/7/2024").replace("05-Jul-2024", "5/7/2024").encode(),
    ],
)
def test_a_record_is_read_in_every_dress(tmp_path: Path, form: str, dress: Any) -> None:
    report, rows = _one(tmp_path, dress(FORMS[form]), "saved 2024-07-05.csv")
    assert (report.outcome, report.shortfalls, report.as_of) == (TAKEN, [], DAY)
    kept = list(NSE_DAILY_BARS.provider_columns.names)
    assert [{name: row[name] for name in kept} for row in rows] == _by_rows(FORMS[form])


ROW = "INVENTED,EQ,100,102.5,99.95,101,101.05,99.9,1000,100500.5,05-JUL-2024,40,INE000A01001,\n"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (",100,", ",-100,", "its open -100 is below 0"),
        (",100,", ",0,", "its open is 0"),
        (",100,", ",,", "it has no open"),
        (",101,", ",inf,", "its close 'inf' is not a number"),
        (",101,", ",1e999,", "its close '1e999' is not a number"),
        (",101,", ",1O1,", "its close '1O1' is not a number"),
        (",101,", ",nan,", "it has no close"),
        (",101,", ",0x65,", "its close '0x65' is not a number"),
        (",102.5,", ",99,", "its high 99.0 is below its low 99.95"),
        (",1000,", ",-1000,", "its volume -1000 is below 0"),
        (",1000,", ",1000.5,", "its volume 1000.5 is not a whole number"),
        (",1000,", ",0x3e8,", "its volume '0x3e8' is not a number"),
        (",1000,", ",1e30,", "its volume 1e30 is not a whole number, or too large"),
        (",1000,", ",,", "it has no volume"),
        (",99.9,", ",-99.9,", "its prev close -99.9 is below 0"),
        (",40,", ",4.5,", "its trades 4.5 is not a whole number"),
        (",EQ,", ",,", "its series '' is not a series"),
        ("INVENTED,", ",", "it names no symbol"),
        ("INVENTED,", "INV ENTED,", "'INV ENTED' is not a symbol"),
        ("INE000A01001", "INE000A0100", "its ISIN 'INE000A0100' does not have 12"),
        ("05-JUL", "35-JUL", "its day '35-JUL-2024' is not a day"),
        ("05-JUL", "04-JUL", "its day 2024-07-04 is not 2024-07-05"),
        ("INVENTED,EQ", "INVENTED", "it has 13 of 13 cells"),
        (",100,", ",1,00,", "it has 15 cells"),
    ],
)
def test_a_row_that_cannot_be_read_costs_itself(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    wrong_row = ROW.replace(right, wrong, 1)
    others = "".join(LEGACY.splitlines(keepends=True)[2:])
    # So many that one of another day is a slip.
    more = "".join(ROW.replace("INVENTED", f"OTHER{number}").replace("000A", f"{number:03}C") for number in range(150))
    report, rows = _one(tmp_path, LEGACY.splitlines()[0] + "\n" + wrong_row + others + more)
    assert report.outcome == TAKEN, report
    assert [row.place for row in report.refused] == ["line 2"]
    assert told in str(report.refused[0]) or told == "it has 13 of 13 cells"
    assert len(rows) == 152
    assert "INVENTED" not in {row["symbol"] for row in rows if row["series"] == "EQ"}


# Of our instruments; 3MINDIA has a share code that no other has, and IIFLWAM is a former symbol of 360ONE.
OURS = {
    "TCS": "INE467B01029",
    "INFY": "INE009A01021",
    "3MINDIA": "INE470A01017",
    "360ONE": "INE466L01038",
    "TMPV": "INE155A01022",
}


def _shares(*rows: tuple[str, str], series: str = "EQ") -> str:
    """A record of these symbols and ISINs, after thirty of their own."""
    own = [(f"S{number}", f"INE{number:03}D01001") for number in range(30)]
    line = ROW.replace("INVENTED,EQ", "{},{}").replace("INE000A01001", "{}")
    lines = [line.format(symbol, series, isin) for symbol, isin in (*own, *rows)]
    return LEGACY.splitlines(keepends=True)[0] + "".join(lines)


@pytest.mark.parametrize(
    ("rows", "refused"),
    [
        (
            [("A", "INE999A01001"), ("B", "INE999A01001"), ("C", "INE998A01001")],
            {
                "A": "its ISIN INE999A01001 stands beside B too, in series EQ",
                "B": "its ISIN INE999A01001 stands beside A too, in series EQ",
            },
        ),
        ([("TCS", OURS["INFY"])], {"TCS": f"its ISIN {OURS['INFY']} is that of INFY"}),
        # Moved by a row: what is not ours has an ISIN of ours, and our symbol that of another.
        (
            [("TCS", "INE997A01001"), ("B", OURS["TCS"])],
            {
                "TCS": "its ISIN is INE997A01001, and its own stands beside B",
                "B": f"its ISIN {OURS['TCS']} is that of TCS",
            },
        ),
        # The one beside its own symbol is right.
        (
            [("TCS", OURS["TCS"]), ("B", OURS["TCS"])],
            {"B": f"its ISIN {OURS['TCS']} stands beside TCS too, in series EQ"},
        ),
        # A former symbol, another face value, a symbol and an ISIN that the seeds do not know.
        ([("IIFLWAM", OURS["360ONE"]), ("TCS", "INE467B01011")], {}),
        ([("NEWNAME", OURS["TCS"]), ("INFY", "INE996A01001")], {}),
    ],
)
def test_a_row_with_the_isin_of_another_share_is_refused(
    tmp_path: Path, rows: list[tuple[str, str]], refused: dict[str, str]
) -> None:
    body = _shares(*rows)
    assert (read_by_columns(body.encode(), "record.csv", TODAY) is None) == bool(refused)
    report, taken = _one(tmp_path, body)
    assert {str(row.symbol): row.reason for row in report.refused} == refused
    assert {row["symbol"] for row in taken if row["symbol"][0] != "S"} == {symbol for symbol, _ in rows} - {*refused}
    assert len(taken) == 30 + len(rows) - len(refused)
    (kept,) = _rows(tmp_path, NSE_FILES.name)
    # Whose row it is, is not known.
    assert ("INFY" in (kept["unread_symbols"] or "")) == (rows == [("TCS", OURS["INFY"])])


def test_a_symbol_that_another_company_has_by_now_is_not_ours() -> None:
    # TATAMOTORS was the symbol of TMPV until October 2025.
    assert shares.contradicted_isins(
        date(2025, 10, 1), ["TATAPV", "TATAMOTORS"], [OURS["TMPV"], "INE1TAE01010"], ["EQ", "EQ"]
    )
    later = shares.contradicted_isins(
        date(2026, 11, 2), ["TATAPV", "TATAMOTORS"], [OURS["TMPV"], "INE1TAE01010"], ["EQ", "EQ"]
    )
    assert later == {}


def test_a_share_may_have_rows_in_several_series(tmp_path: Path) -> None:
    body = _shares(("TCS", OURS["TCS"])) + _shares(("TCS", OURS["TCS"]), series="BL").partition("\n")[2]
    report, rows = _one(tmp_path, body)
    assert (report.shortfalls, len(rows)) == ([], 62)


def test_a_record_whose_isins_were_moved_by_a_row_is_refused(tmp_path: Path) -> None:
    with (PROJECT_DIR / "seeds" / "instruments.csv").open(encoding="utf-8") as file:
        ours = [(row["symbol"], row["isin"]) for row in csv.DictReader(file)][:20]
    # Between two of ours, one of another; its cell at the top was deleted.
    mixed = [share for number, our in enumerate(ours) for share in (our, (f"X{number}", f"INE{number:03}E01001"))]
    moved = [(symbol, isin) for (symbol, _), (_, isin) in pairwise(mixed)]
    report, rows = _one(tmp_path, _shares(*moved))
    assert (report.outcome, rows) == (REFUSED, [])
    assert str(report.reason).startswith("has ISINs of other shares in 38 rows (X0: its ISIN ")


def test_a_row_that_stands_there_twice_is_taken_once_or_not(tmp_path: Path) -> None:
    report, rows = _one(tmp_path, LEGACY + ROW)
    assert [str(row) for row in report.left_out] == ["line 5 INVENTED: it repeats line 2"]
    assert len(rows) == 3
    folder = tmp_path / "other"
    folder.mkdir()
    report, rows = _one(folder, LEGACY + ROW.replace(",101,", ",101.5,"))
    assert [row.place for row in report.refused] == ["line 2", "line 5"]
    assert "line 2 and line 5 tell its series EQ with different values" in str(report.refused[0])
    assert [row["series"] for row in rows] == ["BL", "BE"]


def test_what_is_no_share_is_left_out_of_the_form_of_all_segments(tmp_path: Path) -> None:
    bond = UDIFF.splitlines(keepends=True)[1].replace("STK", "BND").replace("INVENTED,EQ", "BOND,GB")
    report, rows = _one(tmp_path, UDIFF + bond)
    assert [(row.symbol, row.count) for row in report.left_out] == [(None, 1)]
    assert "BND" in str(report.left_out[0])
    assert (report.shortfalls, len(rows)) == ([], 3)
    (kept,) = _rows(tmp_path, NSE_FILES.name)
    assert (kept["file_kind"], kept["row_count"], kept["left_out_row_count"]) == ("daily record (UDiFF)", 3, 1)


FUTURES = (
    "INSTRUMENT,SYMBOL,EXPIRY_DT,STRIKE_PR,OPTION_TYP,OPEN,HIGH,LOW,CLOSE,SETTLE_PR,CONTRACTS,VAL_INLAKH,OPEN_INT,"
)


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("a.csv", LEGACY.replace("05-JUL-2024", "04-JUL-2024", 1), "holds rows of 2 sessions (2024-07-04, 2024-07-05)"),
        ("a.csv", LEGACY.replace("2024", "2027"), "is of 2027-07-05, which has not come yet"),
        ("a.csv", LEGACY.replace("2024", "1993"), "is of 1993-07-05, before the exchange had opened"),
        ("cm04JUL2024bhav.csv", LEGACY, "has the rows of 2024-07-05, and its name tells 2024-07-04"),
        ("BhavCopy_NSE_CM_0_0_0_20240704_F_0000.csv", UDIFF, "its name tells 2024-07-04"),
        ("sec_bhavdata_full_04072024.csv", DELIVERED, "its name tells 2024-07-04"),
        ("a.csv", LEGACY[:-30], "ends in the middle of a record (line 4 FEIGN&D"),
        ("a.csv", LEGACY.splitlines()[0] + "\n", "is empty but for its headings"),
        ("a.csv", LEGACY.splitlines()[0], "is empty but for its headings"),
        ("a.csv", UDIFF.replace(",CM,", ",FO,").replace(",STK,", ",STF,"), "daily record of derivatives (F&O)"),
        ("a.csv", UDIFF.replace(",NSE,", ",BSE,"), "is a daily record of the BSE"),
        ("a.csv", f"{FUTURES}\nFUTSTK,A,25-Jul-2024,0,XX,1,1,1,1,1,1,1,1,\n", "is a daily record of derivatives (F&O)"),
        ("a.csv", "Index Name,Index Date,Closing Index Value\nNifty 50,05-07-2024,1\n", "is a daily record of indices"),
        ("a.csv", "SC_CODE,SC_NAME,OPEN\n500325,RELIANCE,1\n", "is a daily record of the BSE"),
        (
            "a.csv",
            LEGACY.replace("05-JUL-2024", "05/07/2024"),
            "which may be 2024-07-05 or 2024-05-07; write",
        ),
        (
            "a.csv",
            LEGACY.replace("05-JUL-2024", "24-07-05"),
            "which may be 2005-07-24 or 2024-07-05; write",
        ),
        ("a.csv", LEGACY.replace("TOTTRDQTY", "X"), "has no column for volume (tottrdqty)"),
    ],
)
def test_a_file_of_which_nobody_knows_what_it_is_is_refused(tmp_path: Path, name: str, body: str, told: str) -> None:
    report, rows = _one(tmp_path, body, name)
    assert (report.outcome, rows) == (REFUSED, [])
    assert told in str(report.reason)


@pytest.mark.parametrize(
    ("form", "refused"), [("legacy", []), ("UDiFF", []), ("with delivery", []), ("cut in a count", ["line 3"])]
)
def test_a_file_without_its_last_line_end_is_remarked_on(tmp_path: Path, form: str, refused: list[str]) -> None:
    # The last cell of each form is none that is taken; of this one it is.
    cut = "".join(f"{','.join(line.split(',')[:12])}\n" for line in LEGACY.splitlines()[:3])
    report, rows = _one(tmp_path, FORMS.get(form, cut).rstrip("\n"))
    assert report.outcome == TAKEN
    assert ["does not end with a line end" in remark for remark in report.remarks] == [True]
    assert [row.place for row in report.refused] == refused
    assert len(rows) == (1 if refused else 3)


def test_a_session_of_far_fewer_rows_than_those_about_it_is_remarked_on(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    lines = LEGACY.splitlines(keepends=True)
    for day in range(1, 6):
        # The fourth was cut at the end of a line.
        count = 2 if day == 4 else 4
        (folder / f"{day}.csv").write_text("".join(lines[:count]).replace("05-JUL", f"0{day}-JUL"))
    reports = _take(tmp_path, folder)
    assert [report.outcome for report in reports] == [TAKEN] * 5
    assert [len(report.remarks) for report in reports] == [0, 0, 0, 1, 0]
    assert "has 1 rows, and the sessions about it have 3" in reports[3].shortfalls[0]
    # One by one, too: it is compared with what came before.
    alone = folder / "8.csv"
    alone.write_text("".join(lines[:2]).replace("05-JUL", "08-JUL"))
    (report,) = _take(tmp_path, alone)
    assert (report.outcome, len(report.remarks)) == (TAKEN, 1)


@pytest.mark.parametrize(
    ("rows", "month", "is_odd"),
    [(65, "JUL", True), (89, "JUL", True), (90, "JUL", False), (65, "NOV", False), (59, "NOV", True)],
)
def test_a_tenth_of_the_rows_is_missing_only_from_a_short_session(
    tmp_path: Path, rows: int, month: str, is_odd: bool
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    heading, row = LEGACY.splitlines(keepends=True)[:2]
    shares = [row.replace("INVENTED", f"S{n}").replace("000A", f"{n:03}A") for n in range(100)]
    # 1 November 2024 was an hour's session.
    for day in range(1, 6):
        body = heading + "".join(shares[: rows if day == 1 else 100])
        (folder / f"{day}.csv").write_text(body.replace("05-JUL", f"0{day}-{month}"))
    reports = _take(tmp_path, folder)
    assert [len(report.remarks) for report in reports] == [is_odd, 0, 0, 0, 0]


OF_ANOTHER_DAY = "is of 2024-07-08, and the name of its zip tells 2024-07-05"


@pytest.mark.parametrize(
    ("zip_name", "within", "told"),
    [
        (
            "cm05JUL2024bhav.csv.zip",
            "cm08JUL2024bhav.csv",
            ["is of 2024-07-08, and the name of its zip tells 2024-07-05"],
        ),
        ("cm05JUL2024bhav.csv.zip", "a/b.csv", [OF_ANOTHER_DAY]),
        ("cm08JUL2024bhav.csv.zip", "cm08JUL2024bhav.csv", []),
        ("2024-07-01 to 2024-07-31.zip", "cm08JUL2024bhav.csv", []),
        ("july.zip", "cm08JUL2024bhav.csv", []),
    ],
)
def test_a_zip_that_is_named_for_another_day_is_remarked_on(
    tmp_path: Path, zip_name: str, within: str, told: list[str]
) -> None:
    with zipfile.ZipFile(tmp_path / zip_name, "w") as whole:
        whole.writestr(within, LEGACY.replace("05-JUL", "08-JUL"))
    (report,) = _take(tmp_path, tmp_path / zip_name)
    assert (report.outcome, report.remarks) == (TAKEN, told)


@pytest.mark.parametrize("form", ["legacy", "oldest"])
def test_a_value_under_no_heading_costs_its_row_in_both_ways_of_reading(tmp_path: Path, form: str) -> None:
    lines = FORMS[form].splitlines(keepends=True)
    body = "".join([*lines[:2], lines[2].replace(",\n", ",9\n"), lines[3].replace(",\n", ", \n")])
    assert read_by_columns(body.encode(), "record.csv", TODAY) is None
    report, rows = _one(tmp_path, body)
    assert [row.place for row in report.refused] == ["line 3"]
    assert "a value may need quotes" in report.refused[0].reason
    assert len(rows) == 2


def _folder(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        body = LEGACY.replace("05-JUL-2024", f"{date.fromordinal(DAY.toordinal() - number):%d-%b-%Y}")
        with zipfile.ZipFile(folder / f"{number:04d}.csv.zip", "w") as whole:
            whole.writestr("record.csv", body)
    return folder


def test_many_files_make_few_objects_and_are_known_again(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in", 60)
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert {report.outcome for report in _take(tmp_path, folder, is_dry=True)} == {TAKEN}
    assert Archive(str(tmp_path / "archive")).paths() == []
    reports = _take(tmp_path, folder, received_at=now)
    assert {report.outcome for report in reports} == {TAKEN}
    assert len(Archive(str(tmp_path / "archive")).paths()) == 2
    kept = _rows(tmp_path, NSE_FILES.name)
    assert len({row["sha256"] for row in kept}) == 60
    assert {(row["raw_table"], row["file_kind"]) for row in kept} == {("nse_daily_bars", "daily record (legacy)")}
    assert {row["batch_path"] for row in kept} == {reports[0].paths[0]}
    assert min(row["covers_from"] for row in kept) == min(row["date"] for row in _rows(tmp_path))
    assert {row["_extracted_at"] for row in kept} == {now}
    # On a later day, and under other names.
    (folder / "0003.csv.zip").rename(folder / "renamed.csv.zip")
    again = _take(tmp_path, folder, received_at=datetime(2026, 12, 1, tzinfo=UTC))
    assert {(report.outcome, report.received_on) for report in again} == {(HERE, now.date())}
    assert len(_rows(tmp_path)) == 180


@pytest.mark.parametrize("fails_at", range(6))
def test_a_process_that_dies_loses_nothing_and_lands_nothing_twice(tmp_path: Path, fails_at: int) -> None:
    folder = _folder(tmp_path / "in", 30)
    write, written = Archive.write, []

    def fail(*arguments: Any) -> str:
        written.append(arguments)
        if len(written) > fails_at:
            raise PipelineError("the archive cannot be written")
        return write(*arguments)

    # Ten files a batch.
    with patch("extract.files.records._ROWS_PER_BATCH", 30):
        with patch.object(Archive, "write", fail), pytest.raises(PipelineError):
            _take(tmp_path, folder)
        reports = _take(tmp_path, folder, received_at=datetime(2026, 11, 28, 12, tzinfo=UTC))
    assert [report.outcome for report in reports] == [HERE] * (10 * (fails_at // 2)) + [TAKEN] * (
        30 - 10 * (fails_at // 2)
    )
    rows = _rows(tmp_path)
    assert len(rows) == 90
    assert len({(row["symbol"], row["series"], row["date"]) for row in rows}) == 90
    assert len(_rows(tmp_path, NSE_FILES.name)) == 30


def test_a_corrected_file_is_taken_and_is_the_later_one(tmp_path: Path) -> None:
    first, corrected = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text(LEGACY)
    corrected.write_text(LEGACY.replace(",101,101.05", ",101.5,101.05"))
    assert [report.outcome for report in _take(tmp_path, first, corrected)] == [TAKEN, TAKEN]
    closes = sorted((row["_extracted_at"], row["close"]) for row in _rows(tmp_path) if row["trades"] == 40)
    assert [close for _, close in closes] == [101, 101.5]
    assert closes[0][0] < closes[1][0]


def test_a_file_with_a_refused_row_is_read_again_and_lands_once(tmp_path: Path) -> None:
    path = tmp_path / "record.csv"
    path.write_text(LEGACY.replace(",9.5,9.5,", ",-9.5,9.5,"))
    (first,), (again,) = _take(tmp_path, path), _take(tmp_path, path)
    assert (first.outcome, again.outcome, len(again.refused)) == (TAKEN, HERE, 1)
    assert len(_rows(tmp_path)) == 2
    (kept,) = _rows(tmp_path, NSE_FILES.name)
    assert (kept["unread_symbols"], kept["refused_row_count"]) == ("FEIGN&D", 1)


def test_of_many_files_the_sums_are_told_and_the_refused_by_name(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in", 60)
    for number in range(25):
        (folder / f"bad{number}.csv").write_text(LEGACY[:-30])
    said: list[str] = []
    say_import(_take(tmp_path, folder, is_dry=True), lambda sentence, _: said.append(sentence), is_dry=True)
    assert said[0] == "daily record (legacy), 2024: 60 files would be taken (180 records)."
    assert sum("bad" in sentence for sentence in said) == 20
    assert said[-2:] == [
        "5 more files were refused, in whole or in part; --json lists all.",
        "85 files: 60 would be taken (180 records), 0 already here, 25 refused.",
    ]


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("cm05JUL2024bhav.csv", {DAY}),
        ("BhavCopy_NSE_CM_0_0_0_20240705_F_0000.csv", {DAY}),
        ("sec_bhavdata_full_05072024.csv", {DAY}),
        ("bhav 2024-07-05 (1).csv", {DAY}),
        ("05.07.2024.csv", {DAY}),
        ("bhav_2024_07_05.csv", {DAY}),
        ("5 July 2024.csv", {DAY}),
        ("20240705 downloaded 20241127.csv", {DAY, date(2024, 11, 27)}),
        ("nse 2024.csv", set()),
        ("1234567890.csv", set()),
        ("99999999.csv", set()),
    ],
)
def test_the_days_in_a_name(name: str, days: set[date]) -> None:
    assert days_in_name(name) == days


def test_a_simulated_market_enters_by_the_command(built_pipeline: Pipeline, tmp_path: Path) -> None:
    # What is compared here are rows; the data tests run elsewhere.
    pipeline = replace(built_pipeline, runs_data_tests=False)
    # So many that a split is among them, with one that was renamed and one that is in trade-to-trade at times.
    symbols = [*[instrument.symbol for instrument in listed_instruments()][:12], "BAJAJ-AUTO"]
    market = draft_market(first=date(2023, 6, 1), last=date(2024, 8, 30), symbols=symbols)
    folder = tmp_path / "records"
    first, last = date(2023, 12, 27), date(2024, 7, 12)
    paths = write_daily_records(market, folder, first, last)
    sessions = [session.trade_date for session in market.sessions if first <= session.trade_date <= last]
    legacy = [path for path in paths if path.name.startswith("cm")]
    udiff = [path for path in paths if path.name.startswith("Bhav")]
    assert [legacy[-1].name, udiff[0].name] == [
        "cm05JUL2024bhav.csv.zip",
        "BhavCopy_NSE_CM_0_0_0_20240101_F_0000.csv.zip",
    ]
    done = pipeline.command("import", str(folder), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, {file["outcome"] for file in report["files"]}) == (0, {TAKEN}), done.stderr[-2000:]
    assert report["replay"]["loaded"] <= 6
    counts = (
        "select count(distinct date), count(distinct series), countif(isin is null) > 0 from `{d}_raw.nse_daily_bars`"
    )
    assert pipeline.query(counts) == [(len(sessions), 3, True)]
    # All forms of a session say the same of a share.
    apart = (
        "select count(*) from (select symbol, series, date from `{d}_raw.nse_daily_bars` group by symbol, series, date"
        " having count(distinct close) > 1 or count(distinct volume) > 1 or count(distinct prev_close) > 1)"
    )
    assert pipeline.query(apart) == [(0,)]
    files = "select file_kind, count(*) from `{d}_raw.nse_files` group by file_kind order by file_kind"
    assert pipeline.query(files) == [
        ("daily record (UDiFF)", len(udiff)),
        ("daily record (legacy)", len(legacy)),
        ("daily record (with delivery)", len(sessions)),
    ]
    # Before its split, a share was traded in shares of then.
    ex_date = date(2024, 1, 8)
    assert ("ADANIGREEN", 4.0) in {(action["symbol"], action["split_ratio"]) for action in market.corporate_actions}
    row = [instrument.symbol for instrument in market.instruments].index("ADANIGREEN")
    number = [session.trade_date for session in market.sessions].index(ex_date)
    told = (
        "select any_value(close), any_value(prev_close) from `{d}_raw.nse_daily_bars` where symbol = 'ADANIGREEN' and"
    )
    ((before, _),) = pipeline.query(f"{told} series = 'EQ' and date = '{sessions[sessions.index(ex_date) - 1]}'")
    ((after, prev_close),) = pipeline.query(f"{told} series = 'EQ' and date = '{ex_date}'")
    assert before == prev_close == pytest.approx(4 * market.truth.close[row, number - 1] / 20)
    assert after == pytest.approx(market.truth.close[row, number] / 20)
    names = (
        "select symbol, max(date) < '2024-01-16' from `{d}_raw.nse_daily_bars` where exchange_token = 1 group by symbol"
    )
    assert sorted(pipeline.query(names)) == [("360ONE", False), ("IIFLWAM", True)]
    again = take_files(pipeline.archive, [folder], TODAY, lambda *_: None)
    assert ({report.outcome for report in again}, len(again)) == ({HERE}, len(paths))
