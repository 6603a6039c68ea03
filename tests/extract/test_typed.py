"""What people type, and what their machines hold: it works, or one sentence says what is wrong and what to do.

The real command, in this process; nothing here needs a warehouse but what is said to.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest

from extract import seed_rows, seeds, settings
from extract.cli import main
from extract.errors import ConfigurationError
from extract.settings import Settings, past_proxies
from tests.conftest import Pipeline


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A user's environment with nothing set but where things go."""
    own = Pipeline(tmp_path / "archive", tmp_path / "warehouse").environment
    with patch.dict(os.environ, own, clear=True):
        yield own


type Typed = tuple[list[str], Mapping[str, str], str]

DAYS = (
    "20240101",
    "2024-W01-1",
    "2024-1-1",
    "01-01-2024",
    "2024-02-30",
    "yesterday",
    "",
    "2024-01-01T00:00",
    "\u0662024-01-01",
)
PORTS = ("99999", "65536", "-1", "http", "8000.0", "", "0x50", "\u0668\u0660")

USAGE: list[Typed] = [
    *((["backfill", "--from", day], {}, f"{day!r} is not a day; write YYYY-MM-DD") for day in DAYS),
    *(([command, f"--port={port}"], {}, "is not a port") for port in PORTS for command in ("serve", "docs")),
    (["backfill", "--from", "31/12/2024"], {}, "write YYYY-MM-DD; did you mean 2024-12-31?"),
    (["serve"], {"PORT": "eighty"}, "'eighty' is not a port"),
    (["backfill", "--from", "1900-01-01"], {}, "1900-01-01 lies before 2010-01-01"),
    (["extract", "--from", "2009-12-31"], {}, "2009-12-31 lies before 2010-01-01"),
    (["backfill", "--from", "2099-01-01"], {}, "--from 2099-01-01 lies after"),
    (["extract", "--from", "2099-01-01", "--to", "2099-02-01"], {}, "--from 2099-01-01 lies after"),
    (["backfill", "--from", "2024-02-01", "--to", "2024-01-01"], {}, "--from 2024-02-01 lies after 2024-01-01"),
    (["extract", "--to", "2024-01-01"], {}, "--to and --again need --from"),
    (["extract", "--again"], {}, "--to and --again need --from"),
    *((["run", "--symbols", typed], {}, "--symbols is empty") for typed in ("", " ", ",", ", ,")),
    (["run", "--symbols", "NOBODY"], {}, "NOBODY: not in seeds/instruments.csv"),
    (["run", "--symbols", "TCS,NOBODY"], {}, "NOBODY: not in seeds/instruments.csv"),
    (["run", "--symbols", "RELIANC"], {}, "RELIANC: not in seeds/instruments.csv; did you mean RELIANCE?"),
    (["run", "--symbols", "TCS.BO"], {}, "TCS.BO: not in seeds/instruments.csv; did you mean TCS?"),
    (["run", "--symbols", "Infosys"], {}, "did you mean INFY (Infosys Ltd.)?"),
    (["run", "--symbols", "TCS, HDFC Bank"], {}, "did you mean HDFCBANK (HDFC Bank Ltd.)?"),
    (["run", "--symbols", "[/red]"], {}, "[/red]: not in seeds/instruments.csv"),
    (["run", "--run-id", "../x"], {}, "is not an id"),
    (["query", ""], {}, "there is no statement"),
    (["query", " \n "], {}, "there is no statement"),
    *(
        (["replay", "--archive", uri], {}, "--archive is")
        for uri in (
            "s3://x",
            "s3:/x",
            "gs:/bucket",
            "gs:bucket",
            "gs://",
            "gs:///x",
            "gs://Bad_Bucket/x",
            "http://x/y",
            "az://x",
        )
    ),
    (["replay", "--archive", "/no/such/folder"], {}, "no such folder"),
    (["replay", "--archive", "file:///no/such/folder"], {}, "no such folder"),
    (["replay", "--archive", "~nobody_of_this_name/x"], {}, "write the whole path"),
    *(
        (["status"], {"ARCHIVE_URI": uri}, "ARCHIVE_URI is")
        for uri in ("s3://bucket", "gs:/bucket", "gs://", "GS://bucket/x")
    ),
    (["status"], {"ARCHIVE_URI": "~nobody_of_this_name/arch"}, "write the whole path"),
    (["status"], {"WAREHOUSE_DIR": "~nobody_of_this_name/wh"}, "write the whole path"),
    *((["status"], {"WAREHOUSE_DIR": f"/tmp/o{c}brien"}, "can use no folder with") for c in ("'", "?", "\\")),  # noqa: S108
    (["run"], {"KITE_TOKEN_STORE": "projects/p/secret/s"}, "use a file, or projects/<project>/secrets/<secret>"),
    (["run"], {"KITE_TOKEN_STORE": "projects/p/secrets/"}, "use a file, or projects/<project>/secrets/<secret>"),
    *(
        (["run"], {name: value}, f"{name} is '{value}'")
        for name in ("KITE_REQUESTS_PER_SECOND", "YAHOO_REQUESTS_PER_SECOND")
        for value in ("fast", "0", "-1", "1e-9", "inf", "nan", "1e9")
    ),
    *(
        (["run"], {name: value}, f"{name} is '{value}'")
        for name in ("ALPHA_VANTAGE_REQUESTS_PER_DAY", "API_TRIGGERS_PER_HOUR")
        for value in ("0.5", "-1", "many", "1e3", "10000000", "25 a day")
    ),
    (["serve"], {"API_TRIGGERS_PER_HOUR": "0"}, "API_TRIGGERS_PER_HOUR is '0'"),
    (["status"], {"WAREHOUSE_IDLE_SECONDS": "-1"}, "WAREHOUSE_IDLE_SECONDS is '-1'"),
    (["status"], {"WAREHOUSE_IDLE_SECONDS": "1e300"}, "WAREHOUSE_IDLE_SECONDS is 1e+300"),
    (["status"], {"BIGQUERY_DATASET": "my-data"}, "BIGQUERY_DATASET is 'my-data'"),
    (["run"], {"KITE_BASE_URL": "127.0.0.1:1"}, "KITE_BASE_URL is '127.0.0.1:1'"),
    (["run"], {"ALERT_WEBHOOK_URL": "hooks.example"}, "ALERT_WEBHOOK_URL is not an address"),
    (["serve"], {"TRIGGER_JOB": "trading-data"}, "TRIGGER_JOB is 'trading-data'"),
    (["serve"], {"API_AUTHENTICATION": "none"}, "API_AUTHENTICATION is 'none'"),
    (["serve"], {"API_AUTHENTICATION": "cloud_run"}, "this is not a Cloud Run service"),
    # Found by trying.
    *(([*typed, ""], {}, "empty") for typed in (["import"], ["import", "a.csv"], ["import", " "])),
    *((["replay", "--archive", uri], {}, "--archive is") for uri in ("", " ", "file://", "file://host")),
    (["replay", "--archive", "/dev/null"], {}, "no such folder"),
    (["replay", "--archive", __file__], {}, "no such folder"),
    (["import"], {}, "PATH"),
    (["import", "a.csv", "--as-of", "2099-01-01"], {}, "--as-of 2099-01-01 lies in the future"),
    (["import", "a.csv", "--as-of", "soon"], {}, "'soon' is not a day"),
    (["query", "select '\udcff'"], {}, "not UTF-8"),
    (["query", "select 1", "--format", ""], {}, "invalid choice: ''"),
    (["query", "select 1", "-o", ""], {}, "is a folder"),
    (["query", "select 1", "-o", "/"], {}, "is a folder"),
    (["query", "select 1", "-o", "/no/such/folder/x.csv"], {}, "does not exist"),
    (["query", "select 1", "--file", "x.sql"], {}, "name a file with --file"),
    (["query", "--file", "/"], {}, "--file / cannot be read"),
    (["query"], {}, "write one statement in quotes"),
    (["export"], {}, "TABLE"),
    (["export", "daily_bars"], {}, "-o"),
    (["export", "daily_bars", "-o", ""], {}, "is a folder"),
    (["export", "daily_bars", "-o", "x.xlsx"], {}, "x.xlsx"),
    (["export", "daily_bars", "-o", "gs://bucket/x.csv"], {}, "gs:"),
    (["export", "daily_bars", "-o", f"{__file__}/x.csv"], {}, "does not exist"),
    *((["serve", "--host", host, "--port", "0"], {}, "--host") for host in ("no such host", "256.1.1.1", "h" * 300)),
    (["serve", "--host", "1.2.3.4", "--port", "0"], {}, "--host 1.2.3.4 cannot be used"),
    *((["run", "--run-id", run_id], {}, "is not an id") for run_id in ("", "a/b", "a b", "x" * 300, "\u0661", "..")),
    (["run", "--mode", ""], {}, "invalid choice: ''"),
    *(
        (["run", "--symbols", typed], {}, "not in seeds/instruments.csv")
        for typed in ("*", "TCS..NS", "null", "\u202eTCS", ",".join(["NOBODY"] * 20_000))
    ),
    *((["extract", "--source", source], {}, f"invalid choice: '{source}'") for source in ("", "nse", "all")),
    *((["backfill", "--from", day], {}, "is not a day") for day in ("0000-00-00", "10000-01-01", "-1", "1e3")),
    (["backfill", "--from", "2024-01-01", "--to", ""], {}, "'' is not a day"),
    *((typed, {}, "extra is not known here") for typed in (["run", "extra"], ["status", "extra"], ["tables", "extra"])),
    (["backfill", " --from"], {}, "did you mean --from?"),
    (["run", "--dry-run=yes"], {}, "--dry-run"),
    (["build", "--full-refresh", "now"], {}, "now is not known here"),
    (["warehouse", "--stop", "now"], {}, "now is not known here"),
    (["describe"], {}, "TABLE"),
    *((typed, {}, "trading-data --help") for typed in ([""], ["--"], ["-x"])),
    (["run"], {"SYMBOLS": "TCS,NOBODY"}, "SYMBOLS: NOBODY: not in seeds/instruments.csv"),
    (["run"], {"LEASE_URI": "s3://x"}, "LEASE_URI is 's3://x'"),
    (["serve"], {"ORDERS_URI": "s3://x"}, "ORDERS_URI is 's3://x'"),
    (["serve"], {"TRIGGER_JOB": "projects/p/locations/l/jobs/j"}, "ORDERS_URI is not"),
    *((["status"], {"WAREHOUSE_DIR": path}, "which cannot be used") for path in (__file__, "/dev/null", "x" * 300)),
    *(
        (["status"], {"BIGQUERY_DATASET": name}, "BIGQUERY_DATASET is")
        for name in ("x" * 2_000, "\u00e9", "a.b", "a b")
    ),
    *(
        (["status"], {"BIGQUERY_EMULATOR_HOST": host}, "no BigQuery answers there")
        for host in ("ftp://x", "http://", "127.0.0.1:9")
    ),
    *(
        (["run"], {name: url}, f"{name} is")
        for name in ("KITE_BASE_URL", "YAHOO_BASE_URL", "ALPHA_VANTAGE_BASE_URL", "RUN_API_URL")
        for url in ("http://", "ftp://x", "x")
    ),
    *((["run"], {"ALERT_WEBHOOK_URL": url}, "ALERT_WEBHOOK_URL is") for url in ("javascript:1", "https://", "x")),
    *((["status"], {"WAREHOUSE_IDLE_SECONDS": value}, "WAREHOUSE_IDLE_SECONDS is") for value in ("soon", "nan", "inf")),
    *((["serve"], {"PORT": port}, f"{port!r} is not a port") for port in ("-5", "99999", "1e3")),
    (["serve"], {"API_TRIGGERS_PER_HOUR": "\u0665"}, "API_TRIGGERS_PER_HOUR is"),
    (["kite-login"], {}, "KITE_API_KEY and KITE_API_SECRET are needed"),
    *((["ordered"], cloud, "use `trading-data run`") for cloud in ({}, {"ORDERS_URI": "/tmp/orders"})),  # noqa: S108
]


@pytest.mark.parametrize(("arguments", "variables", "words"), USAGE, ids=lambda value: str(value)[:60])
def test_what_cannot_be_meant_is_one_sentence_and_status_2_and_pages_nobody(
    environment: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    variables: Mapping[str, str],
    words: str,
) -> None:
    with patch.dict(os.environ, variables):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
    said = capsys.readouterr()
    assert (status, words in said.err, said.out) == (2, True, ""), said.err
    assert "Traceback" not in said.err
    assert "run_failed" not in said.err
    # One sentence; the log may have it once more.
    assert sum(not line.startswith("{") for line in said.err.splitlines()) == 1, said.err
    # Nothing was made of it, here or in the archive.
    assert not (tmp_path / "archive").exists()
    assert environment


@pytest.mark.parametrize(
    ("typed", "symbol"),
    [
        ("tcs", "TCS"),
        ("TCS.NS", "TCS"),
        ("tcs.ns", "TCS"),
        ("NSE:TCS", "TCS"),
        (" TCS ", "TCS"),
        ('"TCS"', "TCS"),
        ("m&m", "M&M"),
        ("M&M.NS", "M&M"),
        ("bajaj-auto", "BAJAJ-AUTO"),
        ("eternal", "ETERNAL"),
        ("tcs-eq", "TCS"),
        ("\u201cTCS\u201d", "TCS"),
        ("\uff34\uff23\uff33", "TCS"),
    ],
)
def test_a_symbol_is_taken_as_people_type_it(typed: str, symbol: str) -> None:
    from extract.symbols import meant

    assert [instrument.symbol for instrument in meant(typed).instruments] == [symbol]
    assert meant(typed).notes == []


@pytest.mark.parametrize("typed", ["ZOMATO", "zomato.ns", "NSE:ZOMATO", "ZOMATO, ETERNAL"])
def test_a_former_symbol_is_taken_and_said(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    from extract.commands.options import instruments

    assert [instrument.symbol for instrument in instruments(typed)] == ["ETERNAL"]
    said = capsys.readouterr()
    assert (said.err, said.out) == ("ZOMATO is ETERNAL now.\n", "")


def test_a_former_symbol_of_two_shares_is_asked_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from extract import symbols

    by_symbol = {instrument.symbol: instrument.instrument_id for instrument in seeds.listed_instruments()}
    former = {by_symbol["ETERNAL"]: {"ZOMATO": None}, by_symbol["TCS"]: {"ZOMATO": None, "INFY": None}}
    monkeypatch.setattr(symbols, "former_symbols", lambda: former)
    with pytest.raises(ConfigurationError, match=r"did you mean ETERNAL or TCS\?"):
        symbols.meant("ZOMATO")
    # Whoever bears it now is meant.
    assert [instrument.symbol for instrument in symbols.meant("INFY").instruments] == ["INFY"]


@pytest.mark.parametrize(
    "typed", ["tcs,infy", "TCS, INFY", "TCS INFY", "TCS;INFY", "TCS.NS,\nINFY.NS,", "TCS,TCS,INFY"]
)
def test_symbols_are_taken_apart_as_people_type_them(typed: str) -> None:
    from extract.commands.options import instruments

    assert [instrument.symbol for instrument in instruments(typed)] == ["INFY", "TCS"]


@pytest.mark.parametrize("typed", ["all", "ALL", " All "])
def test_all_is_all(typed: str) -> None:
    from extract.commands.options import instruments

    assert len(instruments(typed)) == len(seeds.listed_instruments())


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("~/arch", "{home}/arch"),
        ("arch", "{here}/arch"),
        ("./a b", "{here}/a b"),
        ("'/a b'", "/a b"),
        ('"/data/x"', "/data/x"),
        ("file:///data/a%20b", "/data/a b"),
        ("/data/o'brien", "/data/o'brien"),
        ("gs://bucket/prefix/", "gs://bucket/prefix"),
        ("gs://bucket", "gs://bucket"),
    ],
)
def test_an_archive_is_where_a_person_means(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = path.format(home=Path.home(), here=tmp_path)
    assert Settings.from_environment(environment | {"ARCHIVE_URI": given}).archive_uri == expected


def test_paths_hold_where_a_command_starts_another_elsewhere(environment: dict[str, str]) -> None:
    relative = {"ARCHIVE_URI": "arch", "WAREHOUSE_DIR": "wh", "KITE_TOKEN_STORE": "session.json"}
    told = Settings.from_environment(environment | relative)
    for path in (told.archive_uri, told.warehouse_dir, told.kite.token_store):
        assert Path(path).is_absolute()


def test_no_proxy_stands_before_this_machine() -> None:
    import requests

    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "example.org"}
    with patch.dict(os.environ, proxies, clear=True):
        past_proxies(os.environ)
        for address in ("http://127.0.0.1:5", "http://localhost:5"):
            assert requests.utils.get_environ_proxies(address) == {}
        assert requests.utils.get_environ_proxies("http://example.org") == {}
        assert requests.utils.get_environ_proxies("http://elsewhere.org")["http"] == "http://127.0.0.1:9"


def test_an_installation_without_models_says_how_to_install(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "PROJECT_DIR", tmp_path)
    assert main(["status"]) == 2
    assert "make setup" in capsys.readouterr().err
    assert environment


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "\ufeff" + text, None),
        (lambda text: text.replace("\n", "\r\n"), None),
        (lambda text: text.replace(",", ";"), "has no column"),
        (lambda text: text.replace("2021-07-23", "23-07-2021"), "listed_on is '23-07-2021'"),
        (lambda text: text.replace("\n1,", "\n1.0,"), "instrument_id is '1.0'"),
        (lambda text: text + ",,,,,,,,,\n", "line 252: the row is empty; delete it"),
        (lambda text: text + "\n\n", None),
        (lambda _: None, "cannot be read"),
    ],
)
def test_a_seed_that_a_spreadsheet_has_saved_is_taken_or_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: object, words: str | None
) -> None:
    shutil.copytree(settings.PROJECT_DIR / "seeds", tmp_path / "seeds")
    seed = tmp_path / "seeds" / "instruments.csv"
    changed = change(seed.read_text())  # type: ignore[operator]
    seed.unlink() if changed is None else seed.write_text(changed, newline="")
    monkeypatch.setattr(seed_rows, "PROJECT_DIR", tmp_path)
    if words is None:
        assert len(seeds.listed_instruments()) == 250
    else:
        with pytest.raises(ConfigurationError, match=words) as told:
            seeds.listed_instruments()
        assert "seeds/instruments.csv" in str(told.value)


@pytest.mark.parametrize("attempt", ["abc", "-1", "1.5", "", "0", "2"])
def test_an_attempt_that_is_no_number_is_none(monkeypatch: pytest.MonkeyPatch, attempt: str) -> None:
    from argparse import Namespace

    from extract.commands.options import run_id_of

    monkeypatch.setenv("CLOUD_RUN_TASK_ATTEMPT", attempt)
    assert run_id_of(Namespace(run_id="run-1", command="run")) == ("run-1.2" if attempt == "2" else "run-1")


def test_an_interruption_is_130_and_pages_nobody(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("extract.warehouse.replay.replay", stopped)
    monkeypatch.setattr("extract.warehouse.connection.open_warehouse", stopped)
    assert main(["replay", "--no-build"]) == 130
    said = capsys.readouterr().err
    assert "interrupted; run the same command again" in said
    assert not any("alert_id" in json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert environment


def test_an_interruption_that_meets_a_destructor_is_not_lost(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Held:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def held(*_: object, **__: object) -> int:
        del [Held()][0]
        time.sleep(20)
        return 0

    monkeypatch.setattr("extract.commands.look.status_command", held)
    began_at, hook = time.monotonic(), sys.unraisablehook
    # A process that a shell starts in the background ignores it.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["status"]) == 130
    finally:
        signal.signal(signal.SIGINT, handler)
    assert time.monotonic() - began_at < 10
    assert capsys.readouterr().err == "trading-data: interrupted; run the same command again to continue\n"
    assert sys.unraisablehook is hook
    assert environment


def test_what_dbt_takes_for_its_own_error_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from extract.warehouse.dbt_runner import invoke_dbt

    stopped = SimpleNamespace(exception=KeyboardInterrupt(), success=False)
    monkeypatch.setattr("dbt.cli.main.dbtRunner.invoke", lambda *_: stopped)
    warehouse: object = SimpleNamespace(dataset="d", location="l", address=None)
    with pytest.raises(KeyboardInterrupt):
        invoke_dbt(["build"], {}, warehouse)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0, "1 minute"),
        (1, "1 minute"),
        (6, "6 minutes"),
        (89, "89 minutes"),
        (100, "2 hours"),
        (26 * 60, "26 hours"),
        (72 * 60, "3 days"),
    ],
)
def test_a_time_is_told_in_a_unit_that_fits(minutes: int, words: str) -> None:
    from datetime import timedelta

    from extract.reporting.diagnosis import lasting

    assert lasting(timedelta(minutes=minutes)) == words
