"""The tools that look at workflows and secrets; they live in an environment of their own."""

import shutil
import subprocess

import pytest

from extract.settings import PROJECT_DIR

BIN = PROJECT_DIR / ".venv-infra" / "bin"


def run_tool(name: str, *arguments: str, timeout: int = 120) -> subprocess.CompletedProcess[str]:
    """Run a tool in the project's folder; the test is skipped where it is missing."""
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing; `make .venv-infra/ready` installs it")
    return subprocess.run(
        [found, *arguments], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=timeout, check=False
    )


def tracked_files() -> list[str]:
    """What git knows; the test is skipped where there is no git, or no clone."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is missing")
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # A file may be deleted and its deletion not be committed yet.
    files = [file for file in listed.stdout.split("\0") if file and (PROJECT_DIR / file).is_file()]
    if not files:
        pytest.skip("this is no clone of the repository")
    return files
