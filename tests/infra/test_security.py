"""No known weakness in the code, no secret in the repository. What needs the network runs in the workflows alone.

pip-audit is not run here: without its database it finds nothing, skips every package, and ends with 0.
"""

import hashlib
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import google.auth
import pytest
import yaml  # type: ignore[import-untyped]
from google.auth.credentials import AnonymousCredentials

from extract.errors import ConfigurationError
from extract.settings import PROJECT_DIR, Settings
from extract.warehouse.connection import open_warehouse
from tests.infra.tools import run_tool, tracked_files

# What looks like a secret and opens nothing: the simulated providers' own, and words in tests.
# The last but one is a heading of the exchange's record, for a number that is called a token.
HARMLESS = ("simulatedkey", "simulatedsecret", "simulatedtoken", "simulated", "key", "fininstrmid", "")

# Importing subprocess does nothing yet; its calls are looked at by rules of their own.
IMPORTS = ("B404",)


def bandit(*folders: str) -> list[dict[str, Any]]:
    """What bandit finds beyond the rules that ruff is told to leave out, with the reasons in pyproject.toml."""
    ignored = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["ignore"]
    skipped = [*IMPORTS, *(rule.replace("S", "B") for rule in ignored if re.fullmatch(r"S\d+", rule))]
    done = run_tool("bandit", "--quiet", "--recursive", "--format", "json", "--skip", ",".join(skipped), *folders)
    report = json.loads(done.stdout)
    # A file that bandit's Python cannot parse is one that nobody has looked at.
    assert report["errors"] == []
    assert report["metrics"]["_totals"]["loc"] > 0
    return [finding for finding in report["results"] if not _is_accepted(finding)]


def _is_accepted(finding: dict[str, Any]) -> bool:
    value = re.fullmatch(r"Possible hardcoded password: '(.*)'", finding["issue_text"])
    if value and value[1] in HARMLESS:
        return True
    line = (PROJECT_DIR / finding["filename"]).read_text().splitlines()[finding["line_number"] - 1]
    # Ruff's rules are bandit's: one comment with its reason serves both.
    return re.search(rf"# noqa: [A-Z0-9, ]*\bS{finding['test_id'][1:]}\b", line) is not None


def detected_secrets(folder: Path) -> dict[str, list[str]]:
    """What detect-secrets takes for a secret in a folder, by file."""
    # The requirements hold versions and hashes, and take longer than everything else.
    # Words such as "secret" stand before references and settings' names here; values are found by their form.
    scan = (
        "scan",
        "--no-verify",
        "--disable-plugin",
        "KeywordDetector",
        "--all-files",
        "--exclude-files",
        r"requirements.*\.txt",
        # The digest of an image, or of a script that a page takes from elsewhere, is of high entropy, and in the open.
        "--exclude-lines",
        r"(@sha256:[0-9a-f]{64}|^ *integrity: \"sha512-[A-Za-z0-9+/=]{88}\",)$",
        ".",
    )
    done = run_tool("detect-secrets", "-C", str(folder), *scan)
    known = {hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest() for value in HARMLESS}
    found = {
        path: [f"{one['type']} in line {one['line_number']}" for one in findings if one["hashed_secret"] not in known]
        for path, findings in json.loads(done.stdout)["results"].items()
    }
    return {path: findings for path, findings in found.items() if findings}


def kingfisher(folder: Path) -> list[str]:
    """What kingfisher takes for a secret in a folder."""
    done = run_tool(
        "kingfisher", "scan", str(folder), "--no-validate", "--no-update-check", "--git-history=none", "--format=json"
    )
    # 200 says that there are findings; with any other status it has not looked.
    assert done.returncode in (0, 200), done.stderr
    report, _ = json.JSONDecoder().raw_decode(done.stdout)
    return [f"{one['rule']['name']} in {one['finding']['path']}" for one in report["findings"]]


def test_bandit_finds_nothing() -> None:
    assert bandit("extract", "infra") == []


def test_bandit_sees_a_weakness(tmp_path: Path) -> None:
    (tmp_path / "weak.py").write_text("import pickle\npickle.loads(b'')\npickle.loads(b'1')  # noqa: S301\n")
    assert [(finding["test_id"], finding["line_number"]) for finding in bandit(str(tmp_path))] == [
        ("B403", 1),
        ("B301", 2),
    ]


def test_a_suppressed_finding_has_a_reason() -> None:
    for path in (path for folder in ("extract", "infra") for path in (PROJECT_DIR / folder).rglob("*.py")):
        for reason in re.findall(r"# nosec\b(.*)", path.read_text()):
            assert len(reason.split()) > 3, path


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files alone, without what lies beside them."""
    folder = tmp_path_factory.mktemp("tracked")
    for file in tracked_files():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_DIR / file, folder / file)
    return folder


def test_detect_secrets_finds_none_in_the_tracked_files(tracked: Path) -> None:
    assert detected_secrets(tracked) == {}


def test_kingfisher_finds_none_in_the_tracked_files(tracked: Path) -> None:
    assert kingfisher(tracked) == []


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A file with secrets that open nothing, put together here so that no scanner finds them in this file."""
    head, tail = "-----BEGIN RSA PRIVATE " + "KEY-----", "-----END RSA PRIVATE " + "KEY-----"
    body = hashlib.sha512(b"nothing").hexdigest() * 8
    token = "ghp_" + "".join(("aB3dE5gH7", "jK9mN1pQ2", "rS4tU6vW8", "xY0zA1bC2"))
    path = tmp_path / "planted.txt"
    path.write_text(f"{head}\n{body}\n{tail}\ngithub_token = '{token}'\n")
    return path


def test_detect_secrets_sees_a_planted_one(planted: Path) -> None:
    assert detected_secrets(planted.parent)


def test_kingfisher_sees_a_planted_one(planted: Path) -> None:
    assert kingfisher(planted.parent)


@pytest.mark.parametrize("name", ["KITE_BASE_URL", "YAHOO_BASE_URL", "ALPHA_VANTAGE_BASE_URL", "RUN_API_URL"])
@pytest.mark.parametrize("address", ["https://elsewhere.example", "http://localhost.elsewhere.example"])
def test_in_cloud_run_no_variable_sends_a_key_elsewhere(name: str, address: str) -> None:
    execution = {"CLOUD_RUN_EXECUTION": "trading-data-x7k2p"}
    with pytest.raises(ConfigurationError, match=f"{name} is set in Cloud Run"):
        Settings.from_environment({name: address} | execution)
    Settings.from_environment({name: address})
    Settings.from_environment({name: "http://127.0.0.1:8080"} | execution)
    # To a client, this is a user's name, and the host is behind it.
    with pytest.raises(ConfigurationError, match="use http:// or https://, a host"):
        Settings.from_environment({name: "https://localhost:443@elsewhere.example"} | execution)


def test_no_statement_is_billed_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "market"))  # type: ignore[no-untyped-call]
    settings = Settings.from_environment({"BIGQUERY_PROJECT": "market", "ARCHIVE_URI": "gs://market-archive/live"})
    with open_warehouse(settings) as warehouse:
        config = warehouse.client.default_query_job_config
    assert config
    profiles = yaml.safe_load((PROJECT_DIR / "profiles.yml").read_text())["trading_data"]["outputs"]
    assert config.maximum_bytes_billed == profiles["cloud"]["maximum_bytes_billed"] <= 100e9
