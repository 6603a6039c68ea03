"""The workflows are what they say: pinned, without more rights than they need, one image for all environments."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from extract.settings import PROJECT_DIR
from tests.infra.tools import run_tool

FOLDER = PROJECT_DIR / ".github" / "workflows"
NAMES = ("pull-request", "release", "deploy", "rollback", "nightly")

PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*")
CALLED = re.compile(r"\./\.github/workflows/[a-z-]+\.yml( #.*)?")
ENVIRONMENT = "${{ inputs.environment }}"

# Whose actions may run where there is an identity that writes. Of the others' one was taken over in March 2026.
_TRUSTED_WITH_AN_IDENTITY = {"actions", "docker", "google-github-actions"}


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.yml").read_text()


def faults(name: str, text: str) -> Iterator[str]:
    """What is wrong with a workflow."""
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as true.
    triggers = workflow[True]
    for used in re.findall(r"^ *(?:- )?uses: (.*)$", text, re.MULTILINE):
        if not PINNED.fullmatch(used) and not CALLED.fullmatch(used):
            yield f"{used} is not pinned by a commit with its version"
    if workflow.get("permissions") != {}:
        yield "a job could have rights that it does not ask for"
    if "secrets." in text or "secrets: inherit" in text:
        yield "a secret is used, where identities are federated"
    if "pull_request_target" in triggers:
        yield "a stranger's change would run with our rights"
    for job_name, job in workflow["jobs"].items():
        for fault in _job_faults(job, is_of_a_stranger="pull_request" in triggers):
            yield f"{job_name} {fault}"
    if "release" in name and "concurrency" in workflow:
        yield "what waits for a reviewer would hold up every later release"
    own = {"release": _release_faults, "deploy": _deploy_faults, "rollback": _gate_faults}
    if name in own:
        yield from own[name](workflow["jobs"])


def _job_faults(job: dict[str, Any], *, is_of_a_stranger: bool) -> Iterator[str]:
    if not isinstance(job.get("permissions"), dict):
        yield "does not say which rights it needs"
    if "uses" not in job and "timeout-minutes" not in job:
        yield "may run for six hours"
    used = {step["uses"].split("@")[0].split("/")[0] for step in job.get("steps", ()) if "uses" in step}
    if job.get("permissions", {}).get("id-token") == "write":
        if strangers := used - _TRUSTED_WITH_AN_IDENTITY:
            yield f"lets {', '.join(strangers)} act as us"
        if is_of_a_stranger:
            yield "gives a pull request an identity"
        if "environment" not in job and "environment" not in job.get("with", {}):
            yield "gets an identity without the gate of an environment"
    for step in job.get("steps", ()):
        leaves = step.get("with", {}).get("persist-credentials") is not False
        if step.get("uses", "").startswith("actions/checkout@") and leaves:
            yield "leaves its token on the disk"
        if "${{" in step.get("run", ""):
            yield "puts an expression into a shell"


def _gate_faults(jobs: dict[str, Any]) -> Iterator[str]:
    for job_name, job in jobs.items():
        if job.get("environment") != ENVIRONMENT:
            yield f"{job_name} passes by the gate of its environment"


def _release_faults(jobs: dict[str, Any]) -> Iterator[str]:
    builders = [n for n, job in jobs.items() if "docker/build-push-action@" in str(job)]
    if builders != ["build"] or jobs["push"]["outputs"] != {"digest": "${{ steps.push.outputs.digest }}"}:
        yield "the image is not built once, or its digest is not what was pushed"
    if "checks" not in jobs["push"]["needs"] or jobs["checks"].get("uses") != "./.github/workflows/pull-request.yml":
        yield "what nobody has tested is released"
    if "push-to-registry" in str(jobs):
        yield "the second attestation would have to move a tag, which the registry refuses"
    before: list[str] = []
    for environment in ("dev", "staging", "prod"):
        job = jobs[environment]
        given = {"digest": "${{ needs.push.outputs.digest }}", "accept-changes": "${{ needs.build.outputs.accepted }}"}
        if job["with"] != {"environment": environment, **given}:
            yield f"{environment} does not get the digest that was built, or what may change"
        needs = [job["needs"]] if isinstance(job["needs"], str) else job["needs"]
        if set(needs) != {"build", "push", *before}:
            yield f"{environment} does not wait for the environment before it"
        before = [environment]


def _deploy_faults(jobs: dict[str, Any]) -> Iterator[str]:
    yield from _gate_faults(jobs)
    told = "\n".join(step.get("run", "") for step in jobs["deploy"]["steps"])
    in_order = r"gh attestation verify .*deliver\.sh job .*deliver\.sh service "
    if not re.search(in_order, told, re.DOTALL):
        yield "the steps are not: verify, the job, the service"
    if "concurrency" not in jobs["deploy"]:
        yield "two deliveries may meet in one environment"


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_no_faults(name: str) -> None:
    assert list(faults(name, text_of(name))) == []


def test_no_workflow_is_left_out() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)


def test_an_action_has_one_commit_everywhere() -> None:
    used = {match for name in NAMES for match in re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40}) # (\S+)", text_of(name))}
    assert len({action for action, _, _ in used}) == len(used)


BREAKS = [
    ("release", r"@[0-9a-f]{40} # v6\.0\.2", "@v6", "not pinned"),
    ("release", r" # v6\.0\.2", "", "not pinned"),
    ("nightly", r"permissions: \{\}", "permissions: write-all", "does not ask for"),
    ("nightly", r"    permissions:\n      contents: read.*\n", "", "which rights it needs"),
    ("pull-request", r"    timeout-minutes: 90\n", "", "test may run for six hours"),
    ("pull-request", r"github\.token", "secrets.TOKEN", "a secret is used"),
    ("pull-request", r"      contents: read", "      id-token: write", "gives a pull request an identity"),
    ("pull-request", r"  pull_request:", "  pull_request_target:", "a stranger's change"),
    ("pull-request", r"          persist-credentials: false\n", "          clean: true\n", "token on the disk"),
    ("rollback", r'"rollback-\$\{WHAT\}"', "rollback-${{ inputs.what }}", "into a shell"),
    ("rollback", r"    environment: \$.*\n", "", "passes by the gate"),
    ("deploy", r"    environment: \$.*\n", "", "passes by the gate"),
    ("deploy", r"deliver\.sh job", "deliver.sh service", "the steps are not"),
    ("deploy", r"    concurrency:\n.*\n.*\n", "", "two deliveries may meet"),
    (
        "release",
        r"(?s)(environment: prod\n      digest: )\S+ \S+ \S+",
        r"\1sha256:other",
        "prod does not get the digest",
    ),
    ("release", r"needs: \[build, push, staging\]", "needs: [build, push]", "prod does not wait"),
    ("release", r"steps\.push\.outputs\.digest \}\}\n    steps", "github.sha }}\n    steps", "not built once"),
    (
        "release",
        r"    environment: build\n(?=    permissions:\n      contents: read # The subject)",
        "",
        "without the gate of an environment",
    ),
    ("release", r"needs: \[checks, build\]", "needs: [build]", "nobody has tested"),
    ("release", r"\njobs:", "\nconcurrency:\n  group: release\njobs:", "hold up every later release"),
    ("release", r"(          subject-digest: .*\n)", r"\1          push-to-registry: true\n", "the registry refuses"),
    (
        "release",
        r"docker/login-action@",
        "aquasecurity/trivy-action@",
        "lets aquasecurity act as us",
    ),
]


@pytest.mark.parametrize(("name", "found", "put", "fault"), BREAKS, ids=[f"{n}: {f}" for n, _, _, f in BREAKS])
def test_a_fault_is_seen(name: str, found: str, put: str, fault: str) -> None:
    broken, times = re.subn(found, put, text_of(name), count=1)
    assert times == 1
    assert any(fault in told for told in faults(name, broken))


def test_zizmor_finds_nothing() -> None:
    done = run_tool("zizmor", "--offline", "--no-progress", "--quiet", str(FOLDER))
    assert done.returncode == 0, done.stdout


def test_the_workflows_fit_their_schema() -> None:
    paths = [str(path) for path in sorted(FOLDER.glob("*.yml"))]
    done = run_tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *paths)
    assert done.returncode == 0, done.stdout


def test_an_ignored_finding_has_a_reason() -> None:
    for name in NAMES:
        for ignored in re.findall(r"zizmor: ignore\[.*?\](.*)", text_of(name)):
            assert len(ignored.split()) > 3
