"""A command on a terminal of 80 columns: a real pseudo-terminal, and what a person then sees on it."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from extract.settings import PROJECT_DIR

COLUMNS = 80
_SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b.|[\r\n]|[^\x1b\r\n]+")


class Screen:
    """What a terminal shows of the bytes that it was sent: the sequences that rich uses, and no others.

    Attributes:
        lines: from the first one ever.
        seen: each line as it stood whenever the cursor left it.
    """

    def __init__(self) -> None:
        """Be empty."""
        self.lines: list[str] = [""]
        self.seen: list[str] = []
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        """Take what was sent."""
        for found in _SEQUENCE.finditer(text):
            whole, number, letter = found[0], found[1] or "", found[2]
            if whole == "\r":
                self._leave()
                self._column = 0
            elif whole == "\n":
                self._down()
            elif letter == "A":
                self._leave()
                self._row -= int(number or 1)
            elif letter == "K" and number == "2":
                self.lines[self._row] = ""
            elif not whole.startswith("\x1b"):
                self._write(whole)

    def _leave(self) -> None:
        self.seen.append(self.lines[self._row].rstrip())

    def _down(self) -> None:
        self._leave()
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    def _write(self, text: str) -> None:
        for letter in text:
            if self._column == COLUMNS:
                self._down()
                self._column = 0
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
            self._column += 1

    @property
    def shown(self) -> list[str]:
        """The lines that are there now, without empty ones."""
        return [line.rstrip() for line in self.lines if line.strip()]


@dataclass(frozen=True)
class Shown:
    """How a command ended, and what its terminal shows."""

    status: int
    screen: Screen
    sent: str


def on_terminal(
    arguments: list[str],
    environment: Mapping[str, str],
    *,
    seconds: float = 120,
    watch: Callable[[Screen, subprocess.Popen[bytes]], object] = lambda *_: None,
    is_piped: bool = False,
) -> Shown:
    """Run ``trading-data`` on a terminal.

    Args:
        arguments: what is typed after it.
        environment: its variables.
        seconds: that it may take.
        watch: is called with the screen and the process, a few times a second.
        is_piped: standard output goes elsewhere; the terminal has standard error alone.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    variables = {name: value for name, value in environment.items() if name not in hidden} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "extract", *arguments],
        env=variables,
        cwd=PROJECT_DIR,
        stdin=theirs,
        stdout=subprocess.DEVNULL if is_piped else theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen, sent, decoder = Screen(), "", codecs.getincrementaldecoder("utf-8")()
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    text = decoder.decode(os.read(ours, 65536))
                except OSError:
                    break
                sent += text
                screen.feed(text)
            elif process.poll() is not None:
                # A warehouse that it leaves running holds the terminal.
                break
            watch(screen, process)
        else:
            raise TimeoutError("\n".join(screen.shown))
        return Shown(process.wait(timeout=10), screen, sent)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
