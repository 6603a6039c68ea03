"""Errors that the reader can fix: the text says what to do, and each class has its own exit status."""

import errno

OK, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 3

# The status that a shell reports for a command that Ctrl-C has ended.
INTERRUPTED = 130


class ConfigurationError(Exception):
    """A setting or an argument is wrong: exit status 2."""


class UsageError(ConfigurationError):
    """An argument that a person typed is wrong. In a Cloud Run execution, it is not tried again and raises no alert."""


class PipelineError(Exception):
    """The work could not be done: exit status 1."""


class AlreadyRunning(Exception):
    """Another process already does the same for the same date: exit status 0. The text is that process's run id."""


class SourceRefused(Exception):
    """A provider refused, and asking again will not help: we have to correct the token, the plan or the symbol.

    Attributes:
        stops_source: the provider will refuse all other requests too, until a person has corrected the cause.
    """

    def __init__(self, message: str, *, stops_source: bool = False) -> None:
        super().__init__(message)
        self.stops_source = stops_source


class SourceUnavailable(Exception):
    """A provider failed, for a reason on its side; another attempt may succeed.

    Attributes:
        retry_after: the seconds that the provider asked us to wait; None where it did not say.
        stops_source: no further request is to be sent to this provider in this run.
        is_rate_limit: the provider says that we send too many requests.
        is_unreached: the provider could not be reached at all.
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


def told_of_system(error: OSError) -> str:
    """An error of the operating system, as a sentence with what to do."""
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the disk is full{place}: {error.strerror}; make room, then run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.strerror}{place}; WAREHOUSE_DIR and ARCHIVE_URI say where files go"
    return f"{error.strerror or error}{place}"
