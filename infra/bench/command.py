"""Run commands for the benchmark as a user would start them, and measure them."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from extract.settings import PROJECT_DIR


def settings_of(place: Path) -> dict[str, str]:
    """The environment of a command that keeps everything in this folder."""
    return os.environ | {
        "WAREHOUSE_DIR": str(place / "warehouse"),
        "ARCHIVE_URI": str(place / "archive"),
        "BIGQUERY_PROJECT": "",
        "BIGQUERY_EMULATOR_HOST": "",
        "BIGQUERY_DATASET": "",
        # The server ends with the measured command.
        "WAREHOUSE_IDLE_SECONDS": "0",
    }


@dataclass(slots=True)
class Ended:
    """The measurements and the output of a command.

    Attributes:
        seconds: from its start to its end.
        own_peak: the peak memory of its own process, in megabytes.
        largest_peak: the peak memory of its largest process, in megabytes; the embedded warehouse counts too.
        output: what it wrote to standard output.
        log: what it wrote to standard error.
    """

    seconds: float = 0.0
    own_peak: float = 0.0
    largest_peak: float = 0.0
    output: str = ""
    log: str = ""

    @property
    def report(self) -> dict[str, Any]:
        """The report of a command that was asked for JSON."""
        report: dict[str, Any] = json.loads(self.output)
        return report


def run(
    command: str,
    environment: dict[str, str],
    *arguments: str,
    expected: tuple[int, ...] = (0,),
    module: str = "extract",
) -> Ended:
    """Run one command of ``trading-data``, or another module with these arguments, to its end.

    Raises:
        SystemExit: it ended with a status that was not expected.
    """
    ended = Ended()
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", module, command, *arguments],
        env=environment,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watch = threading.Thread(target=_watch, args=(process.pid, ended), daemon=True)
        watch.start()
        ended.output, ended.log = process.communicate()
        ended.seconds = time.monotonic() - began
        watch.join()
    if process.returncode not in expected:
        said = (ended.output + ended.log)[-3000:]
        raise SystemExit(f"{module} {command} ended with status {process.returncode}:\n{said}")
    return ended


def _watch(pid: int, ended: Ended) -> None:
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            ended.own_peak = max(ended.own_peak, root.memory_info().rss / 1e6)
            others = [process.memory_info().rss / 1e6 for process in root.children(recursive=True)]
            ended.largest_peak = max(ended.largest_peak, ended.own_peak, *others)
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        return
