"""What can go wrong in a way that its reader can mend: the text says what to do, and the command its exit status."""

import difflib
from collections.abc import Iterable

OK, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 3

# As a shell tells of a command that Ctrl-C has ended.
INTERRUPTED = 130


class ConfigurationError(Exception):
    """A setting or an argument is wrong: exit status 2."""


class PipelineError(Exception):
    """The work could not be done: exit status 1."""


class AlreadyRunning(Exception):
    """Another process does the same for the same date, and this one need not: exit status 0. The text is its run id."""


class SourceRefused(Exception):
    """A provider refused, and asking again will not help: the token, the plan or the symbol is ours to mend.

    Attributes:
        stops_source: nothing else will be served by this provider either, until somebody mends it.
    """

    def __init__(self, message: str, *, stops_source: bool = False) -> None:
        super().__init__(message)
        self.stops_source = stops_source


class SourceUnavailable(Exception):
    """A provider failed, which is its own to mend; another attempt may succeed.

    Attributes:
        retry_after: the seconds that the provider asked us to wait; None where it did not say.
        stops_source: no other attempt is to be made in this run.
        is_rate_limit: the provider found us too fast.
        is_unreached: no answer came, whatever was asked.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        stops_source: bool = False,
        is_rate_limit: bool = False,
        is_unreached: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.stops_source = stops_source
        self.is_rate_limit = is_rate_limit
        self.is_unreached = is_unreached


def did_you_mean(typed: str, names: Iterable[str]) -> str:
    """``; did you mean close?`` where one of the names is near to what was typed, and nothing where none is."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(typed.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[near[0]]}?" if near else ""
