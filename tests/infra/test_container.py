"""The job's image: what is in it, what is not, and that it runs as it will run.

Docker's registry is not always in reach, so the base is made here of Debian's packages, under the name of the real one;
the rest of the Dockerfile is built unchanged. ``make test-container`` says so where something is missing.
"""

import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from extract.seeds import last_closed_session
from extract.settings import PROJECT_DIR
from infra.local.emulator import PROJECT
from infra.local.market import draft_market
from infra.local.providers import ACCESS_TOKEN, Providers, environment, serving
from infra.local.warehouse import running
from tests.extract.conftest import FAST

CONTAINER = PROJECT_DIR / "infra" / "container"
DOCKERFILE = (CONTAINER / "Dockerfile").read_text()
IMAGE = "localhost/trading-data"
HOW = "run `make test-container` as root, with buildah, podman, runc, debootstrap and python3-pip of Debian installed"

# What the base has besides Python's own: Docker's has these too.
_BASE_PACKAGES = "python3,python3-venv,ca-certificates,tzdata"
_SOURCES = """\
deb http://deb.debian.org/debian trixie main
deb http://deb.debian.org/debian trixie-updates main
deb http://deb.debian.org/debian-security trixie-security main
"""
# 817 measured: pyarrow 165, the Google packages 180, pandas, numpy and what they are compiled to; the system 65.
_LARGEST_MEGABYTES = 900


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{PROJECT_DIR / '.venv-infra' / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is missing: {HOW}")
    return found


def _run(*command: str, seconds: float = 600, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **more)


def _must(*command: str, **more: Any) -> str:
    done = _run(*command, **more)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


def test_hadolint_finds_nothing() -> None:
    done = _run(_tool("hadolint"), "--no-color", str(CONTAINER / "Dockerfile"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_base_is_pinned_and_the_stages_are_two() -> None:
    (base,) = re.findall(r"^ARG BASE=(.*)$", DOCKERFILE, re.M)
    assert re.fullmatch(r"docker\.io/library/python:3\.13-slim-trixie@sha256:[0-9a-f]{64}", base)
    assert re.findall(r"^FROM (.*)$", DOCKERFILE, re.M) == ["${BASE} AS build", "scratch"]


def _entrypoint() -> list[str]:
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.M)
    words: list[str] = json.loads(entrypoint)
    return words


def test_neither_a_variable_nor_the_working_directory_adds_code(tmp_path: Path) -> None:
    python, *arguments = _entrypoint()
    assert python == "/opt/venv/bin/python3"
    for module in ("sitecustomize", "json", "extract"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('this is other code')")
    done = _run(*(sys.executable, *arguments, "--help"), cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: trading-data" in done.stdout


@dataclass(frozen=True)
class Store:
    """Where the images of this test are, and how they are built."""

    folder: Path
    driver: str

    def command(self, tool: str, *arguments: str) -> list[str]:
        where = [f"--root={self.folder}/images", f"--runroot={self.folder}/run", f"--storage-driver={self.driver}"]
        return [_tool(tool), *where, *arguments]

    def buildah(self, *arguments: str) -> str:
        return _must(*self.command("buildah", *arguments), env=os.environ | {"BUILDAH_ISOLATION": "chroot"})


@dataclass(frozen=True)
class Built:
    """An image: its configuration, its files, and how long it took."""

    store: Store
    config: Mapping[str, Any]
    root: Path
    seconds: float

    def run(
        self,
        *command: str,
        entrypoint: str | None = None,
        network: str = "none",
        seconds: float = 120,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run it as Cloud Run will."""
        bounds = [
            f"--network={network}",
            "--read-only",
            "--tmpfs=/tmp",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
        ]
        # The default limits ask for a capability that not every machine gives root.
        bounds += ["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
        bounds += [f"--env={name}={value}" for name, value in variables.items()]
        bounds += [f"--entrypoint={entrypoint}"] if entrypoint else []
        # crun refuses some machines' control groups.
        podman = self.store.command("podman", f"--runtime={_tool('runc')}", "run", "--rm", *bounds, IMAGE, *command)
        return _run(*podman, seconds=seconds)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    if os.environ.get("TEST_CONTAINER") != "1":
        pytest.skip(f"building the image takes minutes: {HOW}")
    if os.geteuid() != 0:
        pytest.skip(f"only root can make a base: {HOW}")
    for tool in ("buildah", "podman", "runc", "debootstrap", "chroot"):
        _tool(tool)
    with tempfile.TemporaryDirectory(prefix="trading-data-container-") as folder:
        made = Store(Path(folder), "overlay")
        if _run(*made.command("buildah", "from", "scratch")).returncode:
            made = Store(Path(folder), "vfs")  # Slow, but it works on every file system.
        try:
            yield made
        finally:
            # They hold mounts in the folder.
            _run(*made.command("buildah", "rm", "--all"))
            _run(*made.command("buildah", "rmi", "--all", "--force"))
            _run(_tool("umount"), *(str(path) for path in (Path(folder) / "images").glob("overlay")))


@pytest.fixture(scope="module")
def base(store: Store) -> Path:
    """The root of a base of Debian's packages, as new as Debian has them; committed under the real one's name."""
    root = store.folder / "base"
    options = ["--variant=minbase", f"--include={_BASE_PACKAGES}"]
    done = _run(_tool("debootstrap"), *options, "trixie", str(root), "http://deb.debian.org/debian", seconds=900)
    if done.returncode:
        pytest.skip(f"Debian's packages are out of reach: {done.stdout[-300:]}; {HOW}")
    (root / "etc" / "apt" / "sources.list").write_text(_SOURCES)
    for arguments in (["update"], ["dist-upgrade", "--yes"], ["clean"]):
        _must(
            _tool("chroot"),
            str(root),
            "apt-get",
            "-qq",
            *arguments,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
    working = store.buildah("from", "scratch")
    store.buildah("add", "--quiet", working, str(root), "/")
    store.buildah("commit", "--quiet", working, _base_name())
    store.buildah("rm", working)
    return root


def _base_name() -> str:
    # What is committed here has another digest than the real one.
    (base,) = re.findall(r"^ARG BASE=(.*)@", DOCKERFILE, re.M)
    return str(base)


@pytest.fixture(scope="module")
def wheels(store: Store) -> Path:
    """The pinned files, fetched outside: where an index is, and by whom it is trusted, is the machine's affair."""
    folder = store.folder / "wheels"
    (names,) = re.findall(r"\^\((editables[a-z|-]*)\)==", DOCKERFILE)
    pinned = re.split(r"^(?=[a-z])", (PROJECT_DIR / "requirements-dev.txt").read_text(), flags=re.M)
    tools = store.folder / "build.txt"
    tools.write_text("".join(pin for pin in pinned if re.match(rf"({names})==", pin)))
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(5, 42)] + [f"manylinux2014_{machine}"]
    tags += [f"manylinux2010_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--python-version=3.13"]
    options += [f"--platform={tag}" for tag in tags]
    for file in (PROJECT_DIR / "requirements.txt", tools):
        done = _run(_tool("python3"), "-m", "pip", "download", *options, "-d", str(folder), "-r", str(file), cwd="/")
        if done.returncode:
            pytest.skip(f"the requirements cannot be fetched: {done.stderr[-300:]}; {HOW}")
    return folder


@pytest.fixture(scope="module")
def image(store: Store, base: Path, wheels: Path) -> Built:
    assert base.is_dir()
    configuration = store.folder / "pip.conf"
    configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    started = time.monotonic()
    arguments = {"BASE": _base_name(), "REVISION": "a-revision", "BIGQUERY_PROJECT": "built-for"}
    store.buildah(
        "bud",
        "--pull-never",
        f"--volume={wheels}:/wheels:ro",
        f"--volume={configuration}:/etc/pip.conf:ro",
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        f"--ignorefile={CONTAINER / 'Dockerfile.dockerignore'}",
        f"--file={CONTAINER / 'Dockerfile'}",
        f"--tag={IMAGE}",
        str(PROJECT_DIR),
    )
    seconds = time.monotonic() - started
    config = json.loads(store.buildah("inspect", "--type=image", IMAGE))["OCIv1"]["config"]
    root = Path(store.buildah("mount", store.buildah("from", "--pull-never", IMAGE)))
    return Built(store, config, root, seconds)


def test_the_base_lacks_no_update(base: Path) -> None:
    pending = _must(_tool("chroot"), str(base), "apt-get", "-s", "-qq", "dist-upgrade")
    assert [line for line in pending.splitlines() if line.startswith("Inst ")] == []


def test_it_starts_the_command_as_a_user_without_a_name(image: Built) -> None:
    config = image.config
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (_entrypoint(), ["run"])
    assert config["Labels"]["org.opencontainers.image.title"] == "trading-data"
    assert config["Labels"]["org.opencontainers.image.revision"] == "a-revision"


def test_its_only_program_is_python(image: Built) -> None:
    folders = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/games")
    programs = {path.name for folder in folders for path in (image.root / folder).glob("*")}
    assert programs == {"python3", "python3.13"}
    unwanted = re.compile(
        r"(ba|da|z)?sh|busybox|curl|wget|perl[0-9.]*|apt(-.*)?|dpkg(-.*)?|pip[0-9.]*|uv|gcc.*|ld|nc|tar|ssh"
    )
    found = []
    for folder, _, names in image.root.walk():
        modes = [(folder / name, (folder / name).lstat().st_mode) for name in names if unwanted.fullmatch(name)]
        found += [path for path, mode in modes if stat.S_ISREG(mode) and mode & 0o111]
    assert found == []


def test_nobody_becomes_another_in_it(image: Built) -> None:
    raised = []
    for folder, _, names in image.root.walk():
        modes = [(folder / name, (folder / name).lstat().st_mode) for name in names]
        raised += [path for path, mode in modes if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID | 0o002)]
    assert raised == []


def test_it_has_the_pinned_packages_and_no_others(image: Built) -> None:
    (packages,) = image.root.glob("opt/venv/lib/python3.13/site-packages")
    installed = {_canonical(path.name.split("-")[0]) for path in packages.glob("*.dist-info")}
    pinned = re.findall(r"^([a-z0-9-]+)==", (PROJECT_DIR / "requirements.txt").read_text(), re.M)
    assert installed == {*pinned, "trading-data"}
    modules = ("local_bigquery", "duckdb", "pytest", "sqlfluff", "ruff", "mypy", "pip", "ensurepip", "infra")
    strays = [path for module in modules for path in image.root.glob(f"**/python3*/**/{module}")]
    assert [path for path in strays if path.parent == packages or path.name == "ensurepip"] == []


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_it_runs_is_what_the_repository_holds(image: Built) -> None:
    def files(top: Path, *patterns: str) -> dict[str, bytes]:
        found = (path for pattern in patterns for path in top.glob(pattern))
        return {
            str(path.relative_to(top)): path.read_bytes()
            for path in found
            if path.is_file() and path.suffix != ".pyc" and path.name != "partial_parse.msgpack"
        }

    folders = [f"{folder}/**/*" for folder in ("extract", "models", "macros", "seeds", "tests/generic")]
    wanted = files(PROJECT_DIR, *folders, "tests/*.sql", "dbt_project.yml", "profiles.yml")
    found = files(image.root / "app", "**/*")
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


def test_it_answers_without_a_network_or_a_writable_root(image: Built, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    done = image.run("--help")
    seconds = time.monotonic() - started
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: trading-data" in done.stdout
    size = int(json.loads(image.store.buildah("images", "--json", IMAGE))[0]["size"].split()[0].split(".")[0])
    with capsys.disabled():
        print(f"\n  {size} MB, built in {image.seconds:.0f} s; `trading-data --help` takes {seconds:.1f} s")
    assert size < _LARGEST_MEGABYTES


def test_its_process_owns_nothing_and_writes_nowhere_but_in_tmp(image: Built) -> None:
    program = (
        "import os, pathlib\n"
        "print(os.getuid(), os.getgid())\n"
        "pathlib.Path('/tmp/a').write_text('a')\n"
        "for path in ('/app/a', '/opt/venv/a', '/var/a'):\n"
        "    try:\n"
        "        pathlib.Path(path).write_text('a')\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
    )
    done = image.run("-c", program, entrypoint="/opt/venv/bin/python3")
    assert done.stdout.splitlines() == ["10001 10001", *["Read-only file system"] * 3]
    # Where the root is writable after all, its files are still not the job's.
    owned = [path for folder, _, names in image.root.walk() for name in names if (path := folder / name).lstat().st_uid]
    assert owned == []


def test_without_a_warehouse_it_says_what_to_set(image: Built) -> None:
    done = image.run("status")
    assert done.returncode == 2
    assert "neither BIGQUERY_PROJECT nor BIGQUERY_EMULATOR_HOST is set" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_nothing_answers_it_says_so_soon(image: Built) -> None:
    done = image.run(
        "run", "--dry-run", seconds=60, BIGQUERY_EMULATOR_HOST="127.0.0.1:9", ARCHIVE_URI="file:///tmp/archive"
    )
    assert done.returncode == 2
    assert "no BigQuery answers there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("project", "says"),
    [
        ("built-for", "no changes found, skipping parsing"),
        ("another", "Unable to do partial parsing because profile has changed"),
    ],
)
def test_dbt_takes_what_the_build_parsed_for_its_project_alone(image: Built, project: str, says: str) -> None:
    done = image.run(
        *("ls", "--log-level=debug", "--resource-type=seed"), entrypoint="/opt/venv/bin/dbt", BIGQUERY_PROJECT=project
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert says in done.stdout
    assert "trading_data.quality_checks" in done.stdout


def test_the_job_runs_in_it(image: Built, tmp_path: Path) -> None:
    last = last_closed_session(datetime.now(UTC))
    symbols = ["INFY", "TCS"]
    market = draft_market(first=last - timedelta(days=30), last=last, symbols=symbols)
    with running(tmp_path / "warehouse") as address, serving(Providers(market, limits=FAST)) as sources:
        done = image.run(
            *("run", "--symbols", ",".join(symbols), "--json"),
            network="host",
            seconds=500,
            **environment(sources),
            KITE_ACCESS_TOKEN=ACCESS_TOKEN,
            BIGQUERY_EMULATOR_HOST=address,
            BIGQUERY_PROJECT=PROJECT,
            ARCHIVE_URI="file:///tmp/archive",
        )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["landed_rows"]["kite_daily_bars"] > 0
    assert report["build"]["failed"] == []
    assert report["build"]["passed"] > 0


def test_its_inventory_names_what_is_there(image: Built) -> None:
    listed = json.loads(
        _must(
            *(_tool("syft"), "scan", f"dir:{image.root}", "--output=cyclonedx-json"),
            *("--override-default-catalogers=image", "--quiet"),
            env=os.environ | {"SYFT_CHECK_FOR_APP_UPDATE": "false"},
        )
    )
    assert listed["bomFormat"] == "CycloneDX"
    components = {part["purl"].split("?")[0].split("@")[0] for part in listed["components"] if "purl" in part}
    assert {"pkg:pypi/dbt-bigquery", "pkg:pypi/trading-data"} <= components
    assert {"pkg:deb/debian/libc6", "pkg:deb/debian/libssl3t64", "pkg:deb/debian/ca-certificates"} <= components
    assert not {"pkg:deb/debian/apt", "pkg:deb/debian/perl-base", "pkg:deb/debian/bash"} & components
