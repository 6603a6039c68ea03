"""Import packages without the optional packages that they would import in turn."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
