"""The exchange's own files, of invented companies in the exchange's shape, enter by the command."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from extract.errors import ConfigurationError
from extract.sources.nse import index_name
from tests.conftest import Pipeline

ACTIONS = (
    "symbol,series,ind,faceVal,subject,exDate,recDate,bcStartDate,bcEndDate,ndStartDate,"
    "comp,isin,ndEndDate,caBroadcastDate"
)
LIST = "Company Name,Industry,Symbol,Series,ISIN Code"
# These records are made up, as are their companies.
DIVIDEND = "INFY,EQ,-,10, Interim Dividend - Rs 7 Per Sh,03-Jun-2024,-,-,-,-,Invented Limited,INE000A01001,-,"
BONUS = "TCS,EQ,-,5,Bonus 1:1,05-Jun-2024,-,-,-,-,Feigned (I) Limited,INE000B01001,-,"


def _file(folder: Path, name: str, *lines: str) -> Path:
    # As the exchange writes it: with a byte order mark, and the line ends of Windows.
    path = folder / name
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig", newline="")
    return path


def test_both_files_are_archived_loaded_and_built_once(built_pipeline: Pipeline, tmp_path: Path) -> None:
    # What is compared here are rows; the data tests run elsewhere.
    pipeline = replace(built_pipeline, runs_data_tests=False)
    actions = _file(tmp_path, "CA.csv", ACTIONS, DIVIDEND, BONUS)
    members = _file(
        tmp_path, "ind_nifty500list (1).csv", LIST, '"Invented, Sons Ltd.",Textiles,INVENTED,EQ,INE000A01001'
    )
    first = pipeline.command("import", str(actions), str(members), "--as-of", "2024-06-04")
    assert first.returncode == 0, first.stderr
    assert "2 batches found, 2 loaded (3 rows), 0 refused" in first.stdout
    assert "1 new batches" in first.stdout
    received = "select symbol, subject, faceVal, ex_date, string(_extracted_at) from `{d}_raw.nse_corporate_actions`"
    assert sorted(pipeline.query(received)) == [
        ("INFY", " Interim Dividend - Rs 7 Per Sh", "10", date(2024, 6, 3), "2024-06-04 03:00:00+00"),
        ("TCS", "Bonus 1:1", "5", date(2024, 6, 5), "2024-06-04 03:00:00+00"),
    ]
    assert pipeline.query("select * except (_run_id, _extracted_at) from `{d}_raw.nse_index_constituents`") == [
        (
            "Invented, Sons Ltd.",
            "Textiles",
            "INVENTED",
            "EQ",
            "INE000A01001",
            "NIFTY 500",
            date(2024, 6, 4),
            *pipeline.query("select _archive_path from `{d}_raw.nse_index_constituents`")[0],
        )
    ]
    known = "select symbol, reported_by, share_ratio, dividend_amount, ex_date from `{d}.fct_corporate_actions`"
    actions_built = [
        ("INFY", "nse", None, 7, date(2024, 6, 3)),
        ("TCS", "nse", 2.0, None, date(2024, 6, 5)),
    ]
    assert sorted(pipeline.query(known)) == actions_built
    # A list moves no window, and the actions open that of their own months.
    again = pipeline.command("import", str(members), str(actions), "--as-of", "2024-06-04")
    # The third is what the first import told of itself.
    assert "3 batches found, 0 loaded (0 rows), 0 refused" in again.stdout
    assert "0 new batches" in again.stdout
    # The file of a later day has one record more; what it repeats counts once.
    later = _file(tmp_path, "CA.csv", ACTIONS, DIVIDEND, BONUS, BONUS.replace("TCS", "ITC"))
    grown = pipeline.command("import", str(later), "--as-of", "2024-07-02")
    assert "Built from 1900-01-01" in grown.stdout
    assert sorted(pipeline.query(known)) == sorted(
        [*actions_built, ("ITC", "nse", 2.0, None, date(2024, 6, 5))], key=str
    )


@pytest.mark.parametrize(
    ("name", "body", "status", "told"),
    [
        ("empty.csv", "", 1, "is empty"),
        ("bare.csv", f"{ACTIONS}\n", 1, "is empty but for its first line"),
        ("page.csv", "<html>\n<body>Access Denied</body></html>\n", 1, "is no file that we know"),
        ("torn.csv", f"{ACTIONS}\n{DIVIDEND}\nTCS,EQ,-,5,Bon", 1, "torn"),
        ("ind_nifty50list.csv", f"{LIST}\nInvented Ltd.,Textiles,INVENTED,EQ,INE000A0", 1, "ISIN Code"),
        ("undated.csv", f"{ACTIONS}\n{DIVIDEND.replace('03-Jun-2024', '-')}\n", 1, "not like 02-Mar-2020"),
        ("no_such_day.csv", f"{ACTIONS}\n{DIVIDEND.replace('03-Jun', '31-Jun')}\n", 1, "not like 02-Mar-2020"),
        ("unnamed.csv", f"{LIST}\nInvented Ltd.,Textiles,INVENTED,EQ,INE000A01001\n", 2, "give --index"),
        ("missing.csv", None, 2, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_taken_in_is_named_and_nothing_is_archived(
    pipeline: Pipeline, tmp_path: Path, name: str, body: str | None, status: int, told: str
) -> None:
    good = _file(tmp_path, "good.csv", ACTIONS, DIVIDEND)
    if body is not None:
        (tmp_path / name).write_text(body)
    done = pipeline.command("import", str(good), str(tmp_path / name))
    assert (done.returncode, told in done.stderr, name in done.stderr) == (status, True, True), done.stderr
    assert "Traceback" not in done.stderr
    assert pipeline.archive.paths() == []


def test_a_day_that_has_not_come_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    done = pipeline.command("import", str(_file(tmp_path, "CA.csv", ACTIONS, DIVIDEND)), "--as-of", "2999-01-01")
    assert (done.returncode, "lies in the future" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("ind_nifty500list.csv", "NIFTY 500"),
        ("ind_nifty500list_2024-06-04.csv", "NIFTY 500"),
        ("ind_niftynext50list.csv", "NIFTY Next 50"),
        ("ind_niftylargemidcap250list.csv", "NIFTY LargeMidcap 250"),
        ("ind_niftymidcap150list.csv", "NIFTY Midcap 150"),
    ],
)
def test_the_exchanges_name_of_a_list_tells_the_index(name: str, index: str) -> None:
    assert index_name(Path(name), None) == index


def test_an_index_that_the_name_does_not_tell_has_to_be_given() -> None:
    assert index_name(Path("ind_niftybanklist.csv"), "NIFTY Bank") == "NIFTY Bank"
    with pytest.raises(ConfigurationError, match="does not tell"):
        index_name(Path("ind_niftybanklist.csv"), None)
    with pytest.raises(ConfigurationError, match="and not of the NIFTY 50"):
        index_name(Path("ind_nifty500list.csv"), "NIFTY 50")
