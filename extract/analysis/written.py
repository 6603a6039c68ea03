"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from extract.errors import ConfigurationError


def check_target(target: Path) -> None:
    """Check before the work that a file can be written there.

    Raises:
        ConfigurationError: the target is ``-`` or a folder, or its folder does not exist or is not writable.
    """
    if target == Path("-"):
        raise ConfigurationError("- is standard output, which this does not write to; name a file")
    if target.is_dir():
        raise ConfigurationError(f"{target} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise ConfigurationError(f"the folder {target.parent} does not exist; make it, or name another one")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{target.parent} cannot be written to; name another folder")
    if target.exists() and not target.is_file():
        raise ConfigurationError(f"{target} is not a regular file; name another one")


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a path beside the target to write to; it is renamed to the target when all has been written.

    A process that is stopped before that leaves the target as it was.

    Raises:
        ConfigurationError: the file cannot be written there, or the disk is full.
    """
    check_target(target)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise ConfigurationError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
