"""Read environment variables, and refuse what they cannot mean, in a sentence that names the variable."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from extract.errors import ConfigurationError

_LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1)(:|/|$)")


@dataclass(frozen=True, slots=True)
class Variables:
    """The environment, in which an empty variable counts as unset."""

    environment: Mapping[str, str]

    def value(self, name: str, default: str = "") -> str:
        """A variable's text, without blanks around it."""
        return self.environment.get(name, "").strip() or default

    def optional(self, name: str) -> str | None:
        """A variable's text; None where it is unset."""
        return self.value(name) or None

    def written(self, name: str, pattern: str, wanted: str, default: str = "") -> str:
        """A variable's text, which follows a pattern; without a default it may be unset.

        Raises:
            ConfigurationError: it does not follow the pattern.
        """
        given = self.value(name, default)
        if given and not re.fullmatch(pattern, given):
            raise ConfigurationError(f"{name} is {given!r}: use {wanted}")
        return given

    def number(self, name: str, default: str, *, may_be_zero: bool = False) -> float:
        """A variable's number.

        Raises:
            ConfigurationError: it is not a number, or not above zero; or below zero, where it may be zero.
        """
        try:
            given = float(self.value(name, default))
        except ValueError:
            given = math.nan
        if not (0 < given < math.inf or (given == 0 and may_be_zero)):
            wanted = "zero, or a number above it" if may_be_zero else "a number above zero"
            raise ConfigurationError(f"{name} is {self.value(name)!r}: use {wanted}")
        return given

    def pace(self, name: str, default: str) -> float:
        """A variable's number of requests a second.

        Raises:
            ConfigurationError: it is not a number, or too large, or so small that one request would wait for an hour.
        """
        given = self.number(name, default)
        if not 1 / 3600 <= given <= 10_000:
            raise ConfigurationError(f"{name} is {self.value(name)!r}: use requests a second, from 0.0003 to 10000")
        return given

    def count(self, name: str, default: str, unit: str, *, at_least: int = 1) -> int:
        """A variable's whole number.

        Raises:
            ConfigurationError: it is not a whole number, or too small, or beyond a million.
        """
        given = self.value(name, default)
        if not re.fullmatch(r"[0-9]{1,7}", given) or not at_least <= int(given) <= 1_000_000:
            raise ConfigurationError(f"{name} is {given!r}: use a whole number of {unit}, {at_least} or more")
        return int(given)

    def server(self, name: str) -> str | None:
        """The address of a server that is used instead of a provider's; None where it is unset.

        Raises:
            ConfigurationError: it is no such address; or this is Cloud Run, and it is on another machine.
        """
        given = self.written(name, r"https?://[^/\s@]+/?", "http:// or https://, a host, and a port if needed")
        if given and self.value("CLOUD_RUN_EXECUTION") and not _LOOPBACK.match(given):
            # A person who may start the job may set its variables, and could have the keys sent to their server.
            raise ConfigurationError(f"{name} is set in Cloud Run, where keys go to their providers alone: unset it")
        return given.rstrip("/") or None


def folder(given: str, name: str) -> Path:
    """A folder that a person has named: ``~`` is their home, and a relative path begins at the current folder.

    Args:
        given: as it was typed.
        name: of the setting.

    Raises:
        ConfigurationError: it does not name a folder.
    """
    if (given[0], given[-1]) in (('"', '"'), ("'", "'")) and len(given) > 1:
        # Quotes from a file of settings; a shell would have removed them.
        given = given[1:-1]
    try:
        if "\0" not in given:
            return Path(given).expanduser().absolute()
    except (RuntimeError, FileNotFoundError) as error:
        # There is no home folder, no such user, or the current folder was removed.
        raise ConfigurationError(f"{name} is {given!r}: {error}; write the whole path, from / on") from error
    raise ConfigurationError(f"{name} is {given!r}, which cannot be the name of a folder")


def archive_uri(given: str, name: str) -> str:
    """The address of an archive: ``gs://bucket/prefix``, or the whole path of a folder.

    Args:
        given: as it was typed.
        name: of the setting.

    Raises:
        ConfigurationError: it is neither.
    """
    given = given.strip().strip("\"'")
    if re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", given):
        return given.rstrip("/")
    is_file = given.startswith("file://")
    path = unquote(urlsplit(given).path) if is_file else given
    if not path or (not is_file and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", path)):
        raise ConfigurationError(f"{name} is {given!r}: use a folder, or gs://bucket/prefix")
    return str(folder(path, name))
