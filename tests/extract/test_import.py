"""The exchange's own files, of invented companies in the exchange's shapes, enter by the command."""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from extract.files.days import AmbiguousDay, find_first, read_day
from extract.files.index_lists import index_name
from extract.files.opened import FileRefused
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport
from extract.files.take import take_files
from extract.seeds import exchange_date
from tests.conftest import Pipeline

TODAY = date(2026, 11, 27)

ACTIONS = (
    "symbol,series,ind,faceVal,subject,exDate,recDate,bcStartDate,bcEndDate,ndStartDate,"
    "comp,isin,ndEndDate,caBroadcastDate"
)
LIST = "Company Name,Industry,Symbol,Series,ISIN Code"
# These records are made up, as are their companies.
DIVIDEND = "INFY,EQ,-,10, Interim Dividend - Rs 7 Per Sh,03-Jun-2024,-,-,-,-,Invented Limited,INE000A01001,-,"
BONUS = "TCS,EQ,-,5,Bonus 1:1,28-Jun-2024,-,-,-,-,Feignéd (I) Limited,INE000B01001,-,"
MEMBER = "Invented Ltd.,Textiles,INVENTED,EQ,INE000A01001"

BOTH = f"{ACTIONS}\n{DIVIDEND}\n{BONUS}\n"
RECORDS = [dict(zip(ACTIONS.split(","), record.split(","), strict=True)) for record in (DIVIDEND, BONUS)]
FRAME = pd.DataFrame(RECORDS)
# As the button of the site writes it: no ISIN, other words, line ends in the headings, and an empty last column.
BUTTON = (
    '"SYMBOL \n","COMPANY NAME \n","SERIES \n","PURPOSE \n","FACE VALUE \n","EX-DATE \n","RECORD DATE \n",\n'
    '"INFY","Invented","EQ","Interim Dividend - Rs 7","10","03-Jun-2024","-",\n'
    '"TCS","Feigned, Sons","EQ","Bonus 1:1","5","28-Jun-2024","28-Jun-2024",\n'
)


def _file(folder: Path, name: str, *lines: str) -> Path:
    # As the exchange writes it: with a byte order mark, and the line ends of Windows.
    path = folder / name
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig", newline="")
    return path


def _take(pipeline: Pipeline, *paths: Path, **options: Any) -> list[FileReport]:
    return take_files(pipeline.archive, paths, TODAY, lambda *_: None, **options)


def _one(folder: Path, name: str, body: str | bytes, **options: Any) -> tuple[FileReport, list[dict[str, Any]]]:
    """What becomes of a file alone, and its rows."""
    path = folder / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    pipeline = Pipeline(folder / "archive", folder / "warehouse")
    (report,) = _take(pipeline, path, **options)
    return report, pipeline.archive.read(report.paths[0]).rows.to_pylist() if report.paths else []


def test_files_folders_and_zips_are_archived_loaded_and_built_once(built_pipeline: Pipeline, tmp_path: Path) -> None:
    # What is compared here are rows; the data tests run elsewhere.
    pipeline = replace(built_pipeline, runs_data_tests=False)
    folder = tmp_path / "downloads"
    (folder / "lists").mkdir(parents=True)
    _file(folder, "CA.csv", ACTIONS, DIVIDEND, BONUS, DIVIDEND.replace("INFY", "ACME").replace("03-Jun-2024", "-"))
    members = _file(folder / "lists", "ind_nifty500list (1).csv", LIST, f'"Invented, Sons Ltd."{MEMBER[13:]}')
    (folder / "page.csv").write_text("<html>\n<body>Access Denied</body></html>\n")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as whole:
        whole.writestr("a/copy.csv", (folder / "CA.csv").read_bytes())
        whole.writestr(
            "CF-CA-equities-01-05-2024-to-31-05-2024.json", json.dumps([RECORDS[0] | {"exDate": "6-May-24"}])
        )
    arguments = ("import", str(folder), str(tmp_path / "more.zip"), "--as-of", "2024-06-04")
    planned = pipeline.command(*arguments, "--dry-run")
    assert planned.returncode == 3, planned.stderr
    assert "5 files: 3 would be taken (4 records), 1 already here, 1 refused." in planned.stdout
    assert pipeline.archive.paths() == []
    first = pipeline.command(*arguments)
    assert first.returncode == 3, first.stderr
    assert "5 files: 3 taken (4 records), 1 already here, 1 refused." in first.stdout
    assert "left out: line 4 ACME: it has no ex-date" in first.stdout
    assert f"{folder / 'page.csv'}: refused: is a web page" in first.stdout
    received = "select symbol, subject, faceVal, ex_date, string(_extracted_at) from `{d}_raw.nse_corporate_actions`"
    assert sorted(pipeline.query(received)) == [
        ("INFY", " Interim Dividend - Rs 7 Per Sh", "10", date(2024, 5, 6), "2024-06-04 03:00:00+00"),
        ("INFY", " Interim Dividend - Rs 7 Per Sh", "10", date(2024, 6, 3), "2024-06-04 03:00:00+00"),
        ("TCS", "Bonus 1:1", "5", date(2024, 6, 28), "2024-06-04 03:00:00+00"),
    ]
    assert pipeline.query(
        "select * except (_run_id, _extracted_at, _archive_path) from `{d}_raw.nse_index_constituents`"
    ) == [("Invented, Sons Ltd.", "Textiles", "INVENTED", "EQ", "INE000A01001", "NIFTY 500", date(2024, 6, 4))]
    kept = "select file_name, row_count, left_out_row_count, covers_from, covers_to from `{d}_staging.stg_nse__files`"
    assert sorted(pipeline.query(kept)) == [
        ("CA.csv", 2, 1, None, None),
        (members.name, 1, 0, None, None),
        ("more.zip: CF-CA-equities-01-05-2024-to-31-05-2024.json", 1, 0, date(2024, 5, 1), date(2024, 5, 31)),
    ]
    known = "select symbol, reported_by, share_ratio, dividend_amount, ex_date from `{d}.fct_corporate_actions`"
    actions_built = [
        ("INFY", "nse", None, 7, date(2024, 5, 6)),
        ("INFY", "nse", None, 7, date(2024, 6, 3)),
        ("TCS", "nse", 2.0, None, date(2024, 6, 28)),
    ]
    assert sorted(pipeline.query(known)) == actions_built
    (folder / "page.csv").unlink()
    # A list moves no window, and what is here already is not built again, whatever day it comes on.
    again = pipeline.command("import", str(folder), "--json")
    report = json.loads(again.stdout)
    assert (again.returncode, {file["outcome"] for file in report["files"]}) == (0, {HERE}), again.stdout
    assert f"give --as-of {exchange_date(datetime.now(UTC))}" in report["files"][0]["reason"]
    assert (report["replay"]["rows"], report["build"]["merged_batches"]) == (0, 0)
    # The file of a later day has one record more; what it repeats counts once.
    later = _file(tmp_path, "CA.csv", ACTIONS, DIVIDEND, BONUS, BONUS.replace("TCS", "ITC"))
    grown = pipeline.command("import", str(later), "--as-of", "2024-07-02")
    assert "Built from 1900-01-01" in grown.stdout
    assert sorted(pipeline.query(known)) == sorted(
        [*actions_built, ("ITC", "nse", 2.0, None, date(2024, 6, 28))], key=str
    )


def test_a_list_withdraws_what_it_reaches_over_and_could_read(built_pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline = built_pipeline
    days = {"INFY": "10-Jun-2024", "TCS": "20-Jun-2024", "ITC": "12-Jul-2024"}
    _file(
        tmp_path,
        "ca_2024-06-04.csv",
        ACTIONS,
        *(BONUS.replace("TCS", s).replace("28-Jun-2024", d) for s, d in days.items()),
    )
    # Of June; a record of INFY is not readable, and July is not in it. Only the zip knows that it is of other bonuses.
    rest = [BONUS.replace("TCS", s).replace("28-Jun-2024", "03-Jun-2024") for s in ("ABB", "ACC")]
    unread = BONUS.replace("TCS", "INFY").replace("28-Jun-2024", "31-Jun-2024")
    june = _file(tmp_path, "CF-CA-equities-01-06-2024-to-30-06-2024.csv", ACTIONS, unread, *rest)
    assert pipeline.command("import", str(tmp_path / "ca_2024-06-04.csv")).returncode == 0
    done = pipeline.command("import", str(june), "--as-of", "2024-06-05")
    assert done.returncode == 3, done.stderr
    assert "line 2 INFY: its ex-date '31-Jun-2024' is not a day" in done.stdout
    status = "select symbol, status from `{d}.fct_corporate_actions` where symbol in ('INFY', 'TCS', 'ITC')"
    assert dict(pipeline.query(status)) == {"INFY": "announced", "TCS": "withdrawn", "ITC": "announced"}


@pytest.mark.parametrize(
    ("name", "body", "status", "told"),
    [
        ("empty.csv", "", 1, "is empty"),
        ("bare.csv", f"{ACTIONS}\n", 1, "is empty but for its headings"),
        ("ind_nifty50list.csv", f"{LIST}\n{MEMBER[:-4]}\n", 1, "line 2 INVENTED: its ISIN 'INE000A0'"),
        ("unnamed.csv", f"{LIST}\n{MEMBER}\n", 2, "give --index"),
        ("missing.csv", None, 2, "cannot be read"),
    ],
)
def test_where_nothing_is_taken_the_status_says_whose_fault_that_is(
    pipeline: Pipeline, tmp_path: Path, name: str, body: str | None, status: int, told: str
) -> None:
    if body is not None:
        (tmp_path / name).write_text(body)
    done = pipeline.command("import", str(tmp_path / name))
    assert (done.returncode, told in done.stderr, name in done.stderr) == (status, True, True), done.stderr
    assert "Traceback" not in done.stderr
    assert pipeline.archive.paths() == []


@pytest.mark.parametrize(
    "body",
    [
        *(BOTH.encode(charset) for charset in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252")),
        *(BOTH.replace(",", delimiter).encode() for delimiter in ";\t|"),
        BOTH.replace("\n", "\r\n").encode(),
        BOTH.replace("\n", "\r").encode(),
        BOTH.replace(ACTIONS, ACTIONS.upper().replace(",", " , ")).encode(),
        f"Corporate actions\n\n{BOTH}\n,,,,,,,,,,,,,\nTotal,2\nSource: the exchange".encode(),
        BOTH.replace("\n", ",\n").encode(),
        FRAME.to_csv().encode(),
        FRAME[FRAME.columns[::-1]].to_csv(index=False, sep="\t").encode(),
        *(FRAME.to_json(orient=shape).encode() for shape in ("records", "split", "index", "columns", "table")),
        FRAME.to_json(orient="records", lines=True).encode(),
        json.dumps({"data": RECORDS, "total": 2}, indent=1).encode("utf-8-sig"),
        *(
            BOTH.replace("03-Jun-2024", day).replace("28-Jun-2024", other).encode()
            for day, other in (
                ("3-Jun-24", "28-Jun-24"),
                ("03-06-2024", "28-06-2024"),
                ("03/06/2024", "28/06/2024"),
                ("6/3/2024", "6/28/2024"),
                ("2024-06-03 00:00:00", "2024-06-28 00:00:00"),
                ("2024-06-02T18:30:00.000Z", "2024-06-28T09:15:00+05:30"),
                ("45446", "45471"),
            )
        ),
        BUTTON.encode("utf-8-sig"),
    ],
)
def test_a_file_is_read_in_every_dress(tmp_path: Path, body: bytes) -> None:
    report, rows = _one(tmp_path, "file", body)
    assert (report.outcome, report.refused) == (TAKEN, []), report
    assert [(row["symbol"], row["ex_date"], row["faceVal"]) for row in rows] == [
        ("INFY", date(2024, 6, 3), "10"),
        ("TCS", date(2024, 6, 28), "5"),
    ]
    assert [row["subject"].strip()[:8] for row in rows] == ["Interim ", "Bonus 1:"]
    if body != BUTTON.encode("utf-8-sig"):
        assert [(row["isin"], row["comp"]) for row in rows][1] == ("INE000B01001", "Feignéd (I) Limited")


@pytest.mark.parametrize("missing", ["", "-", "NA", "<NA>", "nan", "None", "NULL", "#N/A"])
def test_a_record_without_an_isin_is_taken_however_a_program_writes_a_missing_value(
    tmp_path: Path, missing: str
) -> None:
    report, rows = _one(tmp_path, "CA.csv", BOTH.replace("INE000A01001", missing))
    assert (report.outcome, report.refused) == (TAKEN, []), report
    assert [(row["symbol"], row["isin"]) for row in rows] == [("INFY", missing), ("TCS", "INE000B01001")]


@pytest.mark.parametrize(
    ("record", "unread"),
    [
        (
            DIVIDEND.replace("03-Jun", "31-Jun"),
            "line 3 INFY: its ex-date '31-Jun-2024' is not a day such as 02-Mar-2020",
        ),
        (DIVIDEND.replace("03-Jun-2024", "03-Jun-3024"), "line 3 INFY: its ex-date '03-Jun-3024' lies too far from"),
        (DIVIDEND[:30], "line 3 INFY: it has 5 of 14 cells"),
        (DIVIDEND.replace("Invented", "Invented, Sons"), "line 3 INFY: it has 15 cells for 14 headings"),
        (DIVIDEND.replace("Invented", '"Invented'), "line 3 INFY: its quotes do not match"),
        (DIVIDEND.replace("INE000A01001", "INE0"), "line 3 INFY: its ISIN 'INE0' does not have 12 letters and digits"),
        (DIVIDEND.replace("INFY", ""), "line 3: it names no symbol"),
    ],
)
def test_a_record_that_cannot_be_read_costs_itself(tmp_path: Path, record: str, unread: str) -> None:
    report, rows = _one(tmp_path, "CA.csv", f"{ACTIONS}\n{BONUS}\n{record}\n{BONUS}\n")
    assert report.outcome == TAKEN
    assert [str(row)[: len(unread)] for row in report.refused] == [unread]
    assert [row["symbol"] for row in rows] == ["TCS", "TCS"]


def test_a_record_with_the_isin_of_another_share_of_ours_withdraws_nothing_of_either(tmp_path: Path) -> None:
    wrong = BONUS.replace("INE000B01001", "INE009A01021")
    right = [
        BONUS.replace("INE000B01001", "INE467B01011"),
        BONUS.replace("TCS", "IIFLWAM").replace("INE000B01001", "INE466L01038"),
    ]
    report, rows = _one(tmp_path, "CA.csv", "\n".join([ACTIONS, wrong, *right, ""]))
    assert list(map(str, report.refused)) == ["line 2 TCS: its ISIN INE009A01021 is that of INFY"]
    assert [row["symbol"] for row in rows] == ["TCS", "IIFLWAM"]
    kept = Pipeline(tmp_path / "archive", tmp_path).archive.read(report.paths[1]).rows.to_pylist()
    assert [row["unread_symbols"] for row in kept] == ["INFY,TCS"]
    listed, members = _one(tmp_path, "ind_nifty50list.csv", f"{LIST}\n{MEMBER}\nA Ltd.,B,TCS,EQ,INE009A01021\n")
    assert list(map(str, listed.refused)) == ["line 3 TCS: its ISIN INE009A01021 is that of INFY"]
    assert len(members) == 1


@pytest.mark.parametrize(
    "record", [DIVIDEND.replace("03-Jun-2024", "-"), DIVIDEND.replace(" Interim Dividend - Rs 7 Per Sh", "-")]
)
def test_a_record_that_says_nothing_is_left_out(tmp_path: Path, record: str) -> None:
    report, rows = _one(tmp_path, "CA.csv", f"{ACTIONS}\n{BONUS}\n{record}\n")
    assert [(row.place, row.symbol) for row in report.left_out] == [("line 3", "INFY")]
    assert (report.shortfalls, len(rows)) == ([], 1)


def test_what_no_table_can_hold_costs_its_record_and_no_other_file(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    # JSON may have half of a pair of code units, and a name on a disk may have any byte.
    half = [{**RECORDS[0], "comp": "\ud800"}, RECORDS[1], {**RECORDS[0], "symbol": "A\udfff"}]
    (folder / "1.json").write_text(json.dumps(half))
    record = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP\n"
    record += "INVENTED,EQ,100,102,99,101,101,99,1000,100500,05-JUL-2024\n"
    (folder / "2.csv").write_text(record)
    (folder / os.fsdecode(b"cm05JUL2024bhav \xe9.csv")).write_text(record.replace("INVENTED", "FEIGNED"))
    (folder / os.fsdecode(b"ca \xe9.csv")).write_text(BOTH)
    for options in (["--dry-run"], ["--no-build"]):
        done = pipeline.command("import", str(folder), *options)
        assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
        assert "record 1 INFY: it has half of a character" in done.stdout
        assert "record 3 A\N{REPLACEMENT CHARACTER}: it has half of a character" in done.stdout
        assert f"4 files: 4 {'would be ' * ('--dry-run' in options)}taken (5 records)" in done.stdout
    names = "select file_name, unread_symbols from `{d}_raw.nse_files` order by file_name"
    assert pipeline.query(names) == [
        ("1.json", "?,INFY"),
        ("2.csv", None),
        ("ca \N{REPLACEMENT CHARACTER}.csv", None),
        ("cm05JUL2024bhav \N{REPLACEMENT CHARACTER}.csv", None),
    ]


@pytest.mark.parametrize("end", ["", f"{BONUS}\n"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_quote_that_closes_some_lines_later_costs_those_lines(tmp_path: Path, end: str, line_end: str) -> None:
    opened = DIVIDEND.replace("Invented", '"Invented')
    closed = DIVIDEND.replace("INFY", "WIPRO").replace("Invented Limited", 'Invented Limited"')
    itc, abb = (BONUS.replace("TCS", symbol) for symbol in ("ITC", "ABB"))
    text = "\n".join([ACTIONS, BONUS, opened, itc, abb, closed, end])
    report, rows = _one(tmp_path, "CA.csv", text.replace("\n", line_end))
    told = "lines 3 to 6: a quote makes one record of them; close it where its value ends"
    assert list(map(str, report.refused)) == [told]
    assert [row["symbol"] for row in rows] == ["TCS"] * (2 if end else 1)
    kept = Pipeline(tmp_path / "archive", tmp_path).archive.read(report.paths[1]).rows.to_pylist()
    assert [row["unread_symbols"] for row in kept] == ["?"]


def test_a_value_of_two_lines_is_one(tmp_path: Path) -> None:
    value = "Dividend - Rs 7,\nand, later, more, of it"
    report, rows = _one(tmp_path, "CA.csv", f"{ACTIONS}\n" + DIVIDEND.replace("Invented Limited", f'"{value}"') + "\n")
    assert (report.shortfalls, [row["comp"] for row in rows]) == ([], [value])


# With the columns that decide at the end, as people keep them by hand.
SHORT = "SYMBOL,EX-DATE,PURPOSE\nINFY,03-Jun-2024,Dividend Rs 7\n"


@pytest.mark.parametrize(
    "body",
    [
        f"{SHORT}TCS,28-Jun-2024,Dividend Rs 1",
        "SYMBOL,PURPOSE,EX-DATE\nINFY,Dividend Rs 7,03-Jun-2024\nTCS,Bonus 1:1,28-Jun-20",
        "PURPOSE,EX-DATE,SYMBOL\nDividend Rs 7,03-Jun-2024,INFY\nBonus 1:1,28-Jun-2024,TCS",
    ],
)
def test_a_value_that_may_be_cut_is_not_taken_and_the_list_withdraws_nothing(tmp_path: Path, body: str) -> None:
    report, rows = _one(tmp_path, "CA.csv", body)
    assert [row["symbol"] for row in rows] == ["INFY"]
    (refused,) = report.refused
    assert str(refused).startswith("line 3: the file ends in TCS without a line end, so its last value may be cut")
    kept = Pipeline(tmp_path / "archive", tmp_path).archive.read(report.paths[1]).rows.to_pylist()
    assert [row["unread_symbols"] for row in kept] == ["?"]


def test_a_last_value_in_quotes_and_an_isin_are_whole(tmp_path: Path) -> None:
    quoted, rows = _one(tmp_path, "CA.csv", f'{SHORT}"TCS","28-Jun-2024","Bonus 1:1"')
    assert (quoted.refused, [row["subject"] for row in rows]) == ([], ["Dividend Rs 7", "Bonus 1:1"])
    listed, _ = _one(tmp_path, "list.csv", f"{LIST}\n{MEMBER}", index="NIFTY Bank")
    assert (listed.refused, listed.row_count) == ([], 1)


def test_headings_in_the_middle_are_no_record_and_other_headings_are_another_file(tmp_path: Path) -> None:
    twice = f"{SHORT}\ufeff Symbol,Ex-Date,PURPOSE\nTCS,28-Jun-2024,Bonus 1:1\n"
    report, rows = _one(tmp_path, "CA.csv", twice)
    assert [(row.place, row.reason) for row in report.left_out] == [("line 3", "it is not a record")]
    assert (report.refused, [row["symbol"] for row in rows]) == ([], ["INFY", "TCS"])
    dates = "SYMBOL,PURPOSE,EX-DATE,RECORD DATE\nINFY,Dividend Rs 7,03-Jun-2024,04-Jun-2024\n"
    other = dates.replace("EX-DATE,RECORD DATE", "RECORD DATE,EX-DATE").replace("INFY", "TCS")
    refused, _ = _one(tmp_path, "two.csv", dates + other)
    assert str(refused.reason).startswith("has other headings in line 3: it is two files in one")


def test_a_share_whose_symbol_reads_like_a_footer_is_a_record(tmp_path: Path) -> None:
    odd = "#NAME?,28-Jun-2024,Bonus 1:1\nTCS,28-Jun-2024,#REF!\nTotal,3,\n---,---,---\n"
    report, rows = _one(tmp_path, "CA.csv", f"{SHORT}TOTAL,28-Jun-2024,Bonus 1:1\n{odd}")
    assert [row["symbol"] for row in rows] == ["INFY", "TOTAL"]
    assert list(map(str, report.refused)) == [
        "line 4 #NAME?: '#NAME?' is not a symbol",
        "line 5 TCS: its subject '#REF!' is an error of a spreadsheet",
    ]
    assert [row.place for row in report.left_out] == ["line 6", "line 7"]


def test_a_symbol_may_be_written_as_a_provider_writes_it(tmp_path: Path) -> None:
    body = f"{SHORT}tcs.ns,28-Jun-2024,Bonus 1:1\nNSE:M&M,28-Jun-2024,Bonus 1:1\nITC.BO,28-Jun-2024,Bonus 1:1\n"
    report, rows = _one(tmp_path, "CA.csv", body)
    assert [row["symbol"] for row in rows] == ["INFY", "TCS", "M&M"]
    assert list(map(str, report.refused)) == ["line 5 ITC.BO: 'ITC.BO' is of the BSE"]


def test_a_value_of_json_that_is_no_text_costs_the_records_that_need_it(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"symbol": True},
        {"subject": ["Bonus 1:1"]},
        {"exDate": {"from": "28-Jun-2024"}},
        {"attachment": [{"page": 1}], "isFno": True},
    ]
    report, rows = _one(tmp_path, "a.json", json.dumps([RECORDS[1] | fields for fields in odd]))
    assert [str(row).partition(": ")[2] for row in report.refused] == [
        f"its {name} is neither a text nor a number" for name in ("symbol", "subject", "exDate")
    ]
    assert [row["subject"] for row in rows] == ["Bonus 1:1"]


def test_a_record_of_json_with_two_values_for_a_name_costs_itself(tmp_path: Path) -> None:
    day, symbol = (json.dumps(record | {"symbol": "ITC"})[:-1] for record in RECORDS)
    records = [json.dumps(RECORDS[1]), day + ', "exDate": "29-Jun-2024"}', symbol + ', "symbol": "WIPRO"}']
    for number, body in enumerate(
        (f"[{','.join(records)}]", "\n".join(records), '{"data": [' + ",".join(records) + "]}")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        report, rows = _one(folder, "a.json", body)
        assert list(map(str, report.refused)) == [
            "record 2 ITC: it has two values for exDate",
            # Of whom it is, is not known.
            "record 3: it has two values for symbol",
        ]
        assert [row["symbol"] for row in rows] == ["TCS"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            '{"columns": ["symbol", "subject", "exDate", "exDate"],'
            ' "data": [["TCS", "Bonus 1:1", "28-Jun-2024", "29-Jun-2024"]]}',
            "has two columns exDate; leave one",
        ),
        ('{"data": [], "data": ' + json.dumps(RECORDS) + "}", "is JSON with two values for data; leave one"),
        (
            FRAME.to_json(orient="columns").replace('"1":"28-Jun-2024"', '"1":"28-Jun-2024","1":"29-Jun-2024"'),
            "is JSON with two values for 1; leave one",
        ),
    ],
)
def test_json_in_which_a_column_or_a_list_comes_twice_is_refused(tmp_path: Path, body: str, told: str) -> None:
    report, rows = _one(tmp_path, "a.json", body)
    assert (report.outcome, report.reason, rows) == (REFUSED, told, [])


def test_a_row_of_json_with_more_values_than_columns_costs_itself(tmp_path: Path) -> None:
    split = json.loads(FRAME.to_json(orient="split"))
    split["data"][0].append("more")
    report, rows = _one(tmp_path, "a.json", json.dumps(split))
    assert list(map(str, report.refused)) == ["record 1: it has 15 values for 14 columns"]
    assert [row["symbol"] for row in rows] == ["TCS"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (BOTH[:-40], "ends in the middle of a record (line 3 TCS"),
        (BOTH.replace("Feignéd", '"Feignéd'), "ends in the middle of a record (line 3 TCS"),
        (f"{LIST}\n{MEMBER}\n{MEMBER[:-4]}", "ends in the middle of a record (line 3 INVENTED"),
        (json.dumps(RECORDS)[:300], "is damaged JSON (line 1 column 300)"),
        ("[]", "is JSON without records"),
        ("[" * 100_000, "is JSON of another shape"),
        (ACTIONS[:40], "is empty but for its headings"),
        ("\n \n", "is empty"),
        (os.urandom(4000), "is damaged, or is not a text"),
        (b"PAR1 and more", "is a Parquet file"),
        ("symbol,subject,series\nTCS,Bonus 1:1,EQ\n", "has no column for exDate"),
        (f"exDate,{BOTH}", "has two columns exDate"),
        ("a,b\n1,2\n", "is not a known kind of file: it begins with 'a b'"),
        (
            f"{ACTIONS}\n{BONUS.replace('28-Jun-2024', '-')}\n",
            "has no record that can be taken: line 2 TCS: it has no ex",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, body: str | bytes, told: str) -> None:
    report, rows = _one(tmp_path, "ind_nifty50list.csv", body)
    assert (report.outcome, rows) == (REFUSED, [])
    assert told in str(report.reason)


def _zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as whole:
        for name, body in files.items():
            whole.writestr(name, body)
    return path


def _nested(folder: Path, depth: int) -> Path:
    path = _zip(folder / "0.zip", {"CA.csv": BOTH.encode()})
    for number in range(1, depth):
        path = _zip(folder / f"{number}.zip", {"within.zip": path.read_bytes()})
    return path


def _damaged(folder: Path) -> Path:
    path = _zip(folder / "a.zip", {"CA.csv": BOTH.encode()})
    body = bytearray(path.read_bytes())
    body[60] ^= 255
    path.write_bytes(body)
    return path


def _of_another_version(folder: Path) -> Path:
    path = _zip(folder / "a.zip", {"CA.csv": BOTH.encode()})
    body = bytearray(path.read_bytes())
    # What the directory says that it takes to unpack the file.
    body[body.index(b"PK\x01\x02") + 6] = 153
    path.write_bytes(body)
    return path


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.parametrize(
    ("make", "outcomes"),
    [
        (lambda folder: _zip(folder / "a.zip", {}), ["is a zip without files"]),
        (lambda folder: _zip(folder / "a.zip", {"__MACOSX/._CA.csv": b"x"}), ["is a zip without files"]),
        (lambda folder: _zip(folder / "a.zip", {"../CA.csv": BOTH.encode()}), [TAKEN]),
        (
            lambda folder: _zip(folder / "a", {"x/CA.csv": BOTH.encode(), "y": b"z"}),
            [TAKEN, "is not a known kind of file"],
        ),
        (lambda folder: _zip(folder / "a.xlsx", {"[Content_Types].xml": b"x"}), ["is an Excel workbook"]),
        (lambda folder: _nested(folder, 3), [TAKEN]),
        (lambda folder: _nested(folder, 4), ["is a zip within 3 zips"]),
        (_damaged, ["is damaged; download the zip again"]),
        (_of_another_version, ["is a damaged zip; download it again (zip file version 15.3)"]),
        (lambda folder: folder, ["is a folder without files"]),
        (_fifo, ["is neither a file nor a folder"]),
    ],
)
def test_a_zip_or_folder_gives_what_it_holds(tmp_path: Path, make: Callable[[Path], Path], outcomes: list[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    reports = _take(Pipeline(tmp_path / "archive", tmp_path), make(folder))
    told = [report.outcome if report.outcome == TAKEN else str(report.reason) for report in reports]
    assert [text[: len(outcome)] for text, outcome in zip(told, outcomes, strict=True)] == outcomes


def test_links_are_followed_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "CA.csv").write_text(BOTH)
    (folder / "again").symlink_to(folder)
    (folder / "broken.csv").symlink_to("nowhere")
    (folder / "link.csv").symlink_to("CA.csv")
    reports = _take(Pipeline(tmp_path / "archive", tmp_path), folder)
    assert [(Path(report.name).name, report.outcome) for report in reports] == [
        ("CA.csv", TAKEN),
        ("broken.csv", REFUSED),
        ("link.csv", HERE),
    ]


def test_a_huge_file_in_a_zip_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr("zeros.csv", bytes(2**26 + 1))
    (report,) = _take(Pipeline(tmp_path / "archive", tmp_path), tmp_path / "bomb.zip")
    assert "is larger than any file of the exchange" in str(report.reason)


def test_a_file_is_known_again_by_its_bytes_and_by_its_records(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "archive", tmp_path)
    first = _file(tmp_path, "CA_2024-06-04.csv", ACTIONS, DIVIDEND, BONUS)
    other = tmp_path / "CA_2024-06-04.tsv"
    other.write_text(BOTH.replace(",", "\t"), encoding="utf-16")
    undated = _file(tmp_path, "CA.csv", ACTIONS, DIVIDEND, BONUS)
    reports = _take(pipeline, first, other, undated)
    assert [(report.outcome, report.as_of) for report in reports] == [
        (TAKEN, date(2024, 6, 4)),
        (HERE, date(2024, 6, 4)),
        (HERE, date(2024, 6, 4)),
    ]
    # That the exchange still says the same on a later day is news.
    (later,) = _take(pipeline, undated, as_of=date(2024, 7, 1))
    assert (later.outcome, later.as_of) == (TAKEN, date(2024, 7, 1))


def test_one_unnamed_list_is_of_the_index_that_is_given(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "archive", tmp_path)
    bank = _file(tmp_path, "ind_niftybanklist.csv", LIST, MEMBER)
    it = _file(tmp_path, "ind_niftyitlist.csv", LIST, MEMBER.replace("INVENTED", "FEIGNED"))
    same = [_file(tmp_path, f"ind_nifty{count}list.csv", LIST, MEMBER) for count in (50, 100, 50)]
    reports = _take(pipeline, bank, it, index="NIFTY Bank")
    assert [report.outcome for report in reports] == [TAKEN, REFUSED]
    assert "is a second list" in str(reports[1].reason)
    # The members are the same, and the index is not.
    assert [report.outcome for report in _take(pipeline, *same)] == [TAKEN, TAKEN, HERE]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("ind_nifty50list_27-11-2025.csv", date(2025, 11, 27)),
        ("ind_nifty50list 20251127.csv", date(2025, 11, 27)),
        ("27Nov2025_ind_nifty50list.csv", date(2025, 11, 27)),
        ("ind_nifty50list_27Nov25.csv", date(2025, 11, 27)),
        ("ind_nifty50list-2025-Nov-27.csv", date(2025, 11, 27)),
        ("November 27, 2025 ind_nifty50list.csv", date(2025, 11, 27)),
        ("ind_nifty50list_20251127_163005.csv", date(2025, 11, 27)),
        ("ind_nifty50list_20251127163005.csv", date(2025, 11, 27)),
        ("ind_nifty50list_11-27-2025.csv", date(2025, 11, 27)),
        ("ind_nifty50list (12).csv", TODAY),
        ("ind_nifty50list.csv", TODAY),
        ("ind_nifty50list_28-11-2026.csv", None),
    ],
)
def test_a_list_is_of_the_day_in_its_name(tmp_path: Path, name: str, day: date | None) -> None:
    report, rows = _one(tmp_path, name, f"{LIST}\n{MEMBER}\n")
    assert [row["list_date"] for row in rows] == ([day] if day else [])
    if day is None:
        assert str(report.reason).startswith("is by its name of 2026-11-28, which has not come yet")
        assert _one(tmp_path, name, f"{LIST}\n{MEMBER}\n", as_of=TODAY)[0].as_of == TODAY


@pytest.mark.parametrize(
    "unclear",
    ["07-05-24", "070524", "Mar2019", "mar-19", "2019", "2019-03", "201903", "5Jul", "2024-07-05 2024-07-08"],
)
def test_a_list_of_which_the_name_does_not_tell_the_day_for_certain_needs_as_of(tmp_path: Path, unclear: str) -> None:
    name = f"ind_nifty50list_{unclear}.csv"
    refused, _ = _one(tmp_path, name, f"{LIST}\n{MEMBER}\n")
    assert (refused.outcome, refused.is_usage) == (REFUSED, True)
    assert str(refused.reason).startswith("has a name that does not tell its day for certain (")
    told, _ = _one(tmp_path, name, f"{LIST}\n{MEMBER}\n", as_of=date(2024, 7, 5))
    assert (told.outcome, told.as_of) == (TAKEN, date(2024, 7, 5))
    # The name of a list of actions tells a period rather than a day.
    actions, _ = _one(tmp_path, f"CA_{unclear}.csv", BOTH)
    assert (actions.outcome, actions.as_of) == (TAKEN, TODAY)


def test_a_day_that_contradicts_the_name_is_refused(tmp_path: Path) -> None:
    for name, body in (("ind_nifty50list_2025-11-27.csv", f"{LIST}\n{MEMBER}\n"), ("CA_2025-11-27.csv", BOTH)):
        refused, _ = _one(tmp_path, name, body, as_of=date(2025, 11, 26))
        assert (refused.outcome, refused.is_usage) == (REFUSED, True)
        assert str(refused.reason).startswith("is by its name of 2025-11-27, and --as-of says 2025-11-26")
        assert _one(tmp_path, name, body, as_of=date(2025, 11, 27))[0].outcome == TAKEN


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("CF-CA-equities-03-06-2024-to-03-06-2024.csv", TODAY),
        ("CF-CA-equities-03-06-2024-to-28-06-2024 (2024-07-01).csv", date(2024, 7, 1)),
        ("CF-CA-equities-03-12-2026-to-03-12-2026.csv", TODAY),
    ],
)
def test_the_period_of_a_list_is_not_its_day(tmp_path: Path, name: str, day: date) -> None:
    assert _one(tmp_path, name, BOTH)[0].as_of == day


def test_a_list_with_too_few_members_is_remarked_on(tmp_path: Path) -> None:
    members = [MEMBER.replace("INVENTED", f"S{n}").replace("000A", f"{n:03}A") for n in range(50)]
    whole, _ = _one(tmp_path, "ind_nifty50list.csv", "\n".join([LIST, *members, ""]))
    assert whole.shortfalls == []
    cut, _ = _one(tmp_path, "ind_niftynext50list.csv", "\n".join([LIST, *members[:49], members[0], ""]))
    assert (cut.outcome, cut.row_count) == (TAKEN, 50)
    (said,) = cut.shortfalls
    assert "has 49 members, and the NIFTY Next 50 has 50: it may be cut" in said


@pytest.mark.parametrize(
    ("count", "told"), [(51, None), (52, None), (53, "some may be of another index"), (59, "some may"), (60, "refused")]
)
def test_a_list_with_too_many_members_is_remarked_on_or_refused(tmp_path: Path, count: int, told: str | None) -> None:
    members = [MEMBER.replace("INVENTED", f"S{n}").replace("000A", f"{n:03}A") for n in range(count)]
    report, rows = _one(tmp_path, "ind_nifty50list.csv", "\n".join([LIST, *members, ""]))
    if told == "refused":
        assert (report.outcome, rows) == (REFUSED, [])
        assert report.reason == "has 60 members, and the NIFTY 50 has 50: it is of another index"
        return
    assert len(rows) == count
    assert [f"has {count} members, and the NIFTY 50 has 50: {told}" in remark for remark in report.remarks] == (
        [True] if told else []
    )


def test_a_day_that_has_not_come_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    done = pipeline.command("import", str(_file(tmp_path, "CA.csv", ACTIONS, DIVIDEND)), "--as-of", "2999-01-01")
    assert (done.returncode, "lies in the future" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ind_nifty500list.csv", "NIFTY 500"),
        ("IND_NIFTY500LIST_2024-06-04.CSV", "NIFTY 500"),
        ("2024_ind_niftynext50list.csv", "NIFTY Next 50"),
        ("ind_niftylargemidcap250list.csv", "NIFTY LargeMidcap 250"),
        ("ind_niftymicrocap250_list.csv", "NIFTY Microcap 250"),
    ],
)
def test_the_exchanges_name_of_a_list_tells_the_index(name: str, index: str) -> None:
    assert index_name(name, None) == index


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ("NIFTY 50 Index", "NIFTY 50"),
        ("nifty 50", "NIFTY 50"),
        ("NIFTY50", "NIFTY 50"),
        ("Nifty  next50", "NIFTY Next 50"),
        ("nifty midsmallcap 400", "NIFTY MidSmallcap 400"),
        ("niftybank", "NIFTY Bank"),
        ("Nifty psu bank", "NIFTY PSU Bank"),
        ("Nifty  Alpha 50", "NIFTY Alpha 50"),
        ("NIFTY500 Multicap 50:25:25", "NIFTY500 Multicap 50:25:25"),
    ],
)
def test_an_index_is_known_by_its_name_in_any_case(given: str, index: str) -> None:
    assert index_name("members.csv", given) == index
    assert index_name("ind_nifty50list.csv", "nifty50") == "NIFTY 50"


def test_an_index_that_the_name_does_not_tell_has_to_be_given() -> None:
    with pytest.raises(FileRefused, match="does not tell"):
        index_name("members.csv", " ")
    assert index_name("ind_niftybanklist.csv", "NIFTY Bank") == "NIFTY Bank"
    with pytest.raises(FileRefused, match="does not tell"):
        index_name("ind_niftybanklist.csv", None)
    with pytest.raises(FileRefused, match="and not of the NIFTY 50"):
        index_name("ind_nifty500list.csv", "NIFTY 50")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("03-JUN-2024", date(2024, 6, 3)),
        ("3 Sept 1998", date(1998, 9, 3)),
        ("June 3, 2024", date(2024, 6, 3)),
        ("20240603", date(2024, 6, 3)),
        ("03.06.24", date(2024, 6, 3)),
        ("3/6/95 12:00:00 AM", date(1995, 6, 3)),
    ],
)
def test_a_day_is_read_as_people_write_it(text: str, day: date) -> None:
    assert read_day(text) == day


@pytest.mark.parametrize("text", ["31-Jun-2024", "03-Xyz-2024", "3/28/2024", "12345678", "03-06", "3/6-2024", "x"])
def test_what_is_no_day_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_day(text)


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["6/3/2024", None, "6/28/2024"], "month"),
        (["6/3/2024"], "day"),
        (["3-Jun-2024", "-"], "day"),
        # One says this, and another that.
        (["6/28/2024", "28/6/2024"], None),
        (["24-07-05", "24-06-07"], None),
        (["24-06-28", "24-06-07"], "year"),
        (["05-07-24", "07-06-24"], "day"),
        (["28-06-24 00:00:00", "24-06-07"], "day"),
    ],
)
def test_what_stands_first_in_a_day_is_told_by_those_of_one_reading(texts: list[str | None], first: str | None) -> None:
    possible = date(1994, 1, 1), date(2027, 12, 31)
    assert find_first((text, possible) for text in texts) == first


@pytest.mark.parametrize("text", ["6/7/2024", "24-07-05"])
def test_a_day_of_which_the_order_is_not_known_is_read_if_it_has_one_reading(text: str) -> None:
    assert read_day("6/28/2024", first=None) == date(2024, 6, 28)
    with pytest.raises(AmbiguousDay, match="may be 20"):
        read_day(text, first=None)


@pytest.mark.parametrize(
    ("name", "days", "taken", "refused"),
    [
        # Saved in the USA.
        ("to-30", ["6/7/2024", "6/10/2024"], [date(2024, 6, 7), date(2024, 6, 10)], []),
        ("to-30", ["07-06-24", "10-06-24"], [date(2024, 6, 7), date(2024, 6, 10)], []),
        ("to-30", ["24-06-07", "24-06-10"], [date(2024, 6, 7), date(2024, 6, 10)], []),
        # A row contradicts another one, so one that could be both is not guessed.
        ("to-30", ["13/06/2024", "6/28/2024", "6/5/2024"], [date(2024, 6, 13), date(2024, 6, 28)], ["line 4"]),
        ("to-30", ["13/06/2024", "6/7/2024"], [date(2024, 6, 13)], ["line 3"]),
        # No period in the name decides.
        ("", ["24-07-05", "24-06-07", "3-Jun-24"], [date(2024, 6, 3)], ["line 2", "line 3"]),
    ],
)
def test_days_of_three_numbers_are_read_as_the_period_of_the_file_says(
    tmp_path: Path, name: str, days: list[str], taken: list[date], refused: list[str]
) -> None:
    body = "\n".join(["SYMBOL,EX-DATE,PURPOSE", *(f"TCS,{day},Bonus 1:1" for day in days), ""])
    file_name = f"CF-CA-equities-01-06-2024-{name}-06-2024.csv" if name else "CA.csv"
    report, rows = _one(tmp_path, file_name, body)
    assert [row["ex_date"] for row in rows] == taken
    assert [row.place for row in report.refused] == refused
    assert all("; write the month as a word" in row.reason for row in report.refused)
    assert report.remarks == []


def test_an_ex_date_outside_of_the_period_of_the_file_is_remarked_on(tmp_path: Path) -> None:
    body = f"{SHORT}TCS,01-Jul-2024,Bonus 1:1\n"
    report, rows = _one(tmp_path, "CF-CA-equities-01-06-2024-to-30-06-2024.csv", body)
    assert len(rows) == 2
    told = "has ex-dates outside of 2024-06-01 to 2024-06-30, the period in its name: TCS 2024-07-01"
    assert report.remarks == [told]
