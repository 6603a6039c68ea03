"""What a machine lacks is said in one sentence; what is imported is declared; and what stands at the top level."""

import ast
import csv
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

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


def test_what_installs_everything_else_is_pinned_by_its_hashes() -> None:
    (version,) = re.findall(r"^UV_VERSION := (\S+)$", (PROJECT_DIR / "Makefile").read_text(), re.MULTILINE)
    first, *hashes = (PROJECT_DIR / "infra" / "requirements-uv.txt").read_text().splitlines()
    assert first == f"uv=={version} \\"
    assert len(hashes) > 5
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)


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
    demanded = {
        "CONTRIBUTING.md",
        ".ci",
        ".github",
        ".gitignore",
        ".python-version",
        ".sqlfluff",
        "LICENSE",
        "Makefile",
        "pyproject.toml",
    }
    found = {path.split("/")[0] for path in listed.splitlines()}
    pinned = {f"requirements{name}.txt" for name in ("", "-local", "-dev", "-infra")}
    assert found - pinned == rooms | demanded


# What runs in the environment of a peer that is compared with ours.
_OF_PEERS = {"dlt_merge.py", "pandas_gbq_load.py", "sqlmesh_model.py", "yfinance_loop.py"}


@pytest.mark.parametrize(
    ("folder", "extra", "group"),
    [
        ("extract", None, None),
        ("infra/delivery", None, None),
        ("infra/local", "local", None),
        ("infra/doubles", "local", None),
        # What measures and checks runs in the environment of the tests.
        ("infra/soak", "local", "dev"),
        ("infra/bench", "local", "dev"),
        ("tests/sql", "local", "dev"),
    ],
)
def test_what_is_imported_is_declared(folder: str, extra: str | None, group: str | None) -> None:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())
    allowed = _names(project["project"]["dependencies"])
    allowed |= _names(project["project"]["optional-dependencies"][extra]) if extra else set()
    allowed |= _names(project["dependency-groups"][group]) if group else set()
    paths = [path for path in sorted((PROJECT_DIR / folder).rglob("*.py")) if path.name not in _OF_PEERS]
    assert paths
    undeclared = set()
    for path in paths:
        about = str(path.relative_to(PROJECT_DIR))
        for imported in _imports(path):
            parts = imported.split(".")
            # The longest that is a module: what follows is a name in it.
            modules = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
            owner = next((_owners()[module] for module in modules if module in _owners()), None)
            if owner not in allowed:
                undeclared.add((about, imported, owner))
    assert not undeclared


@cache
def _owners() -> dict[str, str]:
    """The package that brings each module that is installed."""
    return {
        file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): _name(distribution.name)
        for distribution in distributions()
        # Not by its `files`, which looks for each of a hundred thousand on the disk.
        for file, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines())
        if file.endswith(".py")
    }


def _imports(path: Path) -> Iterator[str]:
    """What the file imports from other packages: modules, and names in modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        ours = {*sys.stdlib_module_names, "extract", "infra", "tests"}
        yield from (name for name in found if name.split(".")[0] not in ours)


def _names(requirements: list[Any]) -> set[str]:
    return {_name(re.split(r"[^A-Za-z0-9_.-]", text)[0]) for text in requirements if isinstance(text, str)}


def _name(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def test_no_module_of_the_extractor_is_longer_than_300_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in (PROJECT_DIR / "extract").rglob("*.py")}
    too_long = {str(path.relative_to(PROJECT_DIR)) for path, length in lengths.items() if length > 300}
    assert too_long == set()


def test_every_setting_is_in_the_table_of_settings() -> None:
    read = set(
        re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|SYMBOLS)"', (PROJECT_DIR / "extract" / "settings.py").read_text())
    )
    # Cloud Run sets these itself.
    read -= {"CLOUD_RUN_EXECUTION", "K_SERVICE", "NO_PROXY"}
    document = (PROJECT_DIR / "extract" / "README.md").read_text()
    rows = re.findall(r"^\| (`.+?) \|", document[document.index("## Settings") :], re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert told == read
