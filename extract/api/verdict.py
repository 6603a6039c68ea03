"""Whether the data can be trusted, in one word and one sentence, and why not."""

from pydantic import BaseModel

from extract.reporting.alerts import State
from extract.reporting.status import Status


class Reason(BaseModel):
    """Something that is wrong, or that a person should know.

    ``severity`` is CRITICAL, ERROR, WARNING or INFO; ``remedy`` is the command to type, or null if none helps.
    """

    severity: str
    text: str
    remedy: str | None


class Verdict(BaseModel):
    """Whether the data can be trusted: ``ok``, ``incomplete`` or ``wrong``; and the reasons, the worst first."""

    state: State
    headline: str
    reasons: list[Reason]


def verdict_of(status: Status) -> Verdict:
    """The verdict on a state of the data."""
    alerts = status.verdict.alerts
    reasons = [Reason(severity=a.severity, text=a.text.strip(), remedy=a.remedy) for a in alerts]
    return Verdict(state=status.verdict.state, headline=status.headline, reasons=reasons)
