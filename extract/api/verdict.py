"""Whether the data can be trusted, in one word and one sentence, and why not."""

from collections.abc import Iterable

from pydantic import BaseModel

from extract.reporting.alerts import Alert, State
from extract.reporting.status import Status


class Reason(BaseModel):
    """Something that is wrong, or that a person should know.

    ``severity`` is CRITICAL, ERROR, WARNING or, for what does not count against the data, INFO. ``remedy`` is what to
    do: a command to type, which begins with `trading-data`, or a sentence; null if nothing needs to be done.
    """

    severity: str
    text: str
    remedy: str | None


class Verdict(BaseModel):
    """Whether the data can be trusted: ``ok``, ``incomplete`` or ``wrong``; and the reasons, the worst first."""

    state: State
    headline: str
    reasons: list[Reason]


def verdict_of(status: Status, alerts: Iterable[Alert]) -> Verdict:
    """The verdict on a state of the data, with these of its alerts as reasons."""
    reasons = [Reason(severity=a.severity, text=a.text.strip(), remedy=a.remedy) for a in alerts]
    return Verdict(state=status.verdict.state, headline=status.headline, reasons=reasons)
