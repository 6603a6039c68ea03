"""What a machine lacks is said in one sentence; and what stands at the top level."""

import shutil
import subprocess
from pathlib import Path

import pytest

from extract.settings import PROJECT_DIR


@pytest.mark.parametrize(
    ("python3", "sentence"),
    [
        (None, "make: python3 is missing; install it (any version from 3.9 on, with pip)"),
        ("exit 1", "make: python3 has no pip; install it (Debian: apt-get install python3-pip)"),
        ('[ "$*" = "-m pip --version" ]', "could not be installed; is the package index in reach?"),
    ],
)
def test_a_missing_prerequisite_gets_one_clear_sentence(tmp_path: Path, python3: str | None, sentence: str) -> None:
    shutil.copy(PROJECT_DIR / "Makefile", tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    if python3 is not None:
        (tools / "python3").write_text(f"#!/bin/sh\n{python3}\n")
        (tools / "python3").chmod(0o755)
    make = shutil.which("make")
    assert make
    done = subprocess.run(
        [make, "setup"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    said, *rest = done.stderr.splitlines()
    assert sentence in said
    # The rest is make's own word that it stopped.
    assert all(line.startswith("make: ***") for line in rest)


def test_nothing_else_stands_at_the_top_level() -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is missing")
    listed = subprocess.run(
        [git, "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, timeout=60, check=False
    ).stdout
    if not listed:
        pytest.skip("this is no clone of the repository")
    rooms = {"extract", "models", "tests", "macros", "seeds", "infra", "dbt_project.yml", "profiles.yml", "README.md"}
    demanded = {".ci", ".github", ".gitignore", ".python-version", ".sqlfluff", "LICENSE", "Makefile", "pyproject.toml"}
    found = {path.split("/")[0] for path in listed.splitlines()}
    assert found - {"requirements.txt", "requirements-dev.txt", "requirements-infra.txt"} == rooms | demanded
