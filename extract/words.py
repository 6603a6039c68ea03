"""The words of messages: numbers with their nouns, and suggestions for what was mistyped."""

import difflib
import re
from collections.abc import Iterable

# Half of a character, which neither a terminal, a log, the archive nor an answer can be given: what Python makes of a
# byte in a file's name that is not UTF-8, and what JSON may have as \ud800.
_HALF = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """The text with ``\N{REPLACEMENT CHARACTER}`` in place of each half of a character."""
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


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
