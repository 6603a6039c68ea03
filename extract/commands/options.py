"""The options that several commands share, and how their text becomes a value."""

import argparse
import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

from extract.commands.terminal import warn
from extract.errors import ConfigurationError, UsageError
from extract.run_id import RUN_ID, new_run_id
from extract.seeds import FIRST_DAY, Instrument
from extract.settings import Settings
from extract.symbols import meant

# A command: it returns its exit status.
type Run = Callable[[Settings, argparse.Namespace], int]


class Add(Protocol):
    """What adds a command to the command line."""

    def __call__(self, name: str, run: Run, text: str, *examples: str) -> argparse.ArgumentParser:
        """Add a command, and return its parser, for its options.

        Args:
            name: what is typed.
            run: what it runs.
            text: what it does, for the help.
            examples: what somebody might type, without the program's name.
        """
        ...


def add_json(*commands: argparse.ArgumentParser) -> None:
    """Add ``--json`` to commands that print a report."""
    for command in commands:
        command.add_argument("--json", action="store_true", help="print the report as JSON")


def day(text: str) -> date:
    """A date of a command line."""
    written = text.strip()
    with suppress(ValueError):
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", written, re.ASCII):
            return date.fromisoformat(written)
    hint = ""
    # As days are written in India.
    if indian := re.fullmatch(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", written, re.ASCII):
        with suppress(ValueError):
            day_of_month, month, year = map(int, indian.groups())
            hint = f"; did you mean {date(year, month, day_of_month)}?"
    raise argparse.ArgumentTypeError(f"{text!r} is not a day; write YYYY-MM-DD{hint}")


def first_day(text: str) -> date:
    """A date that is not before the trading calendar."""
    first = day(text)
    if first < FIRST_DAY:
        raise argparse.ArgumentTypeError(f"{first} lies before {FIRST_DAY}, with which the trading calendar begins")
    return first


def tcp_port(text: str) -> int:
    """A TCP port; 0 means any free one."""
    if text.isascii() and text.isdecimal() and int(text) <= 65_535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port; use a number from 0 (one that is free) to 65535")


def row_count(text: str) -> int:
    """A count of rows, from 1 on."""
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows; use 1 or more")


def path(text: str) -> Path:
    """A path, which is not empty: a variable that is not set would otherwise mean the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a path is empty; write . for the current folder")
    return Path(text)


def run_id(text: str) -> str:
    """A run id, which can be part of file names and URLs."""
    if not re.fullmatch(RUN_ID, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an id; use letters, digits, dots, dashes and underscores")
    return text


def clock() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def run_id_of(options: argparse.Namespace) -> str:
    """The id that was given, or a new one."""
    given = getattr(options, "run_id", None)
    if given is None:
        return new_run_id(options.command, options.began_at)
    # Cloud Run starts each attempt of a task with the same arguments; two runs with one id would use the same names in
    # the archive.
    attempt = os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "").strip()
    return f"{given}.{attempt}" if re.fullmatch("[0-9]*[1-9][0-9]*", attempt) else str(given)


def instruments(typed: str, expected: str = "ALL") -> list[Instrument]:
    """The instruments that a person means by ``--symbols``.

    Args:
        typed: symbols, in any case; ``ALL`` for those in ``expected``.
        expected: the setting ``SYMBOLS``.

    Raises:
        ConfigurationError: a symbol is unknown; the text says which may be meant. It is a UsageError if it was typed.
    """
    is_all = typed.strip().upper() == "ALL"
    name, wanted, wrong = ("SYMBOLS", expected, ConfigurationError) if is_all else ("--symbols", typed, UsageError)
    if not re.sub(r"[\s,;]+", "", wanted):
        raise wrong(f"{name} is empty; write TCS,INFY, or leave it out for all")
    try:
        found = meant(wanted)
    except ConfigurationError as error:
        raise wrong(f"{name}: {error}") from error
    for note in found.notes:
        warn(f"{note}.")
    return found.instruments
