"""The words of messages: numbers with their nouns, and suggestions for what was mistyped."""

import difflib
from collections.abc import Iterable


def counted(count: int, what: str) -> str:
    """A number with its noun: ``1 row``, ``2,000 rows``, ``3 batches``."""
    if count == 1:
        return f"1 {what}"
    return f"{count:,} {what}{'es' if what.endswith(('ch', 's')) else 's'}"


def did_you_mean(typed: str, names: Iterable[str]) -> str:
    """``; did you mean close?`` if one of the names is similar to what was typed; else the empty string."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(typed.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[near[0]]}?" if near else ""
