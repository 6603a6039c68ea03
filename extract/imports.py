"""What packages need, or must not find, when they are imported."""

import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Hide optional packages, which are installed for other uses, from the imports in this block.

    Importing them takes longer than everything else that `query` does. A package that is already imported stays.
    """
    absent = dict.fromkeys(package for package in packages if package not in sys.modules)
    # Python reports a module whose entry is None here as not found.
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]


def cache_without_home(environment: MutableMapping[str, str]) -> None:
    """Give libraries another place for their caches if this user has no home. yfinance looks for one as it is imported.

    A cron job and a container may run without HOME, as a user whom the system does not know.
    """
    try:
        Path.home()
    except RuntimeError:
        environment.setdefault("XDG_CACHE_HOME", tempfile.gettempdir())
