"""Whether the data can be trusted, in one word and one sentence, and why not."""

from typing import Literal

from pydantic import BaseModel

from extract.status import Status

type VerdictState = Literal["ok", "incomplete", "wrong"]


class Reason(BaseModel):
    """Something that is wrong, or that a person should know.

    ``severity`` is CRITICAL, ERROR, WARNING or INFO; ``remedy`` is what to type, or null where nothing helps.
    """

    severity: str
    text: str
    remedy: str | None


class Verdict(BaseModel):
    """Whether the data can be trusted: ``ok``, ``incomplete`` or ``wrong``; and the reasons, the worst first."""

    state: VerdictState
    headline: str
    reasons: list[Reason]


def verdict_of(status: Status) -> Verdict:
    """The verdict on a state of the data."""
    reasons = [Reason(severity=a.severity, text=a.text.strip(), remedy=a.remedy) for a in status.alerts]
    state: VerdictState
    severities = {reason.severity for reason in reasons}
    if severities & {"CRITICAL", "ERROR"}:
        state, so = "wrong", "Something is wrong"
    elif status.is_degraded or "WARNING" in severities:
        state, so = "incomplete", "Something is missing"
    else:
        state, so = "ok", "The data can be trusted"
    missing = len(status.unserved_symbols)
    if status.latest_trade_date is None:
        about = "no session is here yet"
    elif status.sessions_behind:
        sessions = "session" if status.sessions_behind == 1 else "sessions"
        about = f"the last {status.sessions_behind} {sessions} are not here"
    elif missing:
        names = f" ({', '.join(status.unserved_symbols)})" if missing <= 3 else ""
        have = "has" if missing == 1 else "have"
        about = f"{missing} of {status.instrument_count} symbols {have} no valid bar{names}"
    else:
        about = "every symbol has its bar of the latest session"
    return Verdict(state=state, headline=f"{so}: {about}.", reasons=reasons)
