"""What the packages that we import need not import themselves."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Let the imports within go without optional packages, which are installed for other uses.

    Importing them takes longer than all else that `query` does. One that was imported already stays.
    """
    absent = dict.fromkeys(package for package in packages if package not in sys.modules)
    # Python's own way: it reports a module that is None here as not found.
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
