"""The last lines of a command that fetches: what was requested, received and built, and what is wrong."""

from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from extract.commands.builds import built_line
from extract.commands.terminal import SEVERITY_STYLES, output, say
from extract.seeds import source_order
from extract.words import counted

if TYPE_CHECKING:
    from extract.fetching.run import Job
    from extract.reporting.report import Outcome
    from extract.reporting.status import Status

# The symbols whose past was fetched again, and the state of the data.
type End = tuple[list[str], Status | None]

# A terminal shows this many lines, so that a person can read them at a glance. `status` shows the rest.
_LINES = 6
# A longer remedy would leave no room for the text before it.
_REMEDY = 40


class _Wrong(NamedTuple):
    severity: str
    text: str
    remedy: str | None


def say_summary(job: "Job", outcome: "Outcome", end: End, asked: tuple[date, date] | None) -> None:
    """Print how a run ended; on a terminal in six lines.

    Args:
        job: what was fetched.
        outcome: what was built, and what is missing.
        end: the symbols whose past was fetched again, and the state of the data.
        asked: the range that was asked for; None for what is new.
    """
    facts = _facts(job, outcome, end, asked)
    wrongs = _wrongs(outcome, end[1])
    for fact in facts:
        _line(Text(fact), is_tight=True)
    room = _LINES - len(facts)
    if end[1]:
        # Whole, even if it takes two lines: it is what the command was run for.
        _line(Text(end[1].headline))
        room -= -(-len(end[1].headline) // output.width) if output.is_terminal else 1
    # However long the verdict is, the worst that is wrong stands below it.
    shown, room = wrongs, max(room, 2)
    if output.is_terminal and len(wrongs) > room:
        shown = wrongs[: room - 1]
    lines = [_told(wrong) for wrong in shown]
    is_tight = sum(-(-(text + Text(tail)).cell_len // output.width) for text, tail in lines) > room
    for text, tail in lines:
        _line(text, tail, is_tight=is_tight)
    if hidden := len(wrongs) - len(shown):
        say(f"and {counted(hidden, 'more thing')} to know: trading-data status")


def _facts(job: "Job", outcome: "Outcome", end: End, asked: tuple[date, date] | None) -> list[str]:
    """What was requested and received by source, and what was built: a line each, if known."""
    rewritten = end[0]
    extraction = job.extraction
    # Always in the same order, with the third opinion last.
    order = source_order()
    outcomes = dict(sorted(extraction.outcomes().items(), key=lambda item: (item[0] not in order, item[0])))
    if outcomes:
        requests = (
            f"{source} {counted(extraction.requests[source], 'request')} for {counted(counts.total(), 'symbol')}"
            for source, counts in outcomes.items()
        )
        came = (
            f"{source} {counts['ok']:,} of {counted(counts.total(), 'symbol')}" for source, counts in outcomes.items()
        )
        bars = sum(rows for table, rows in extraction.landed_rows.items() if table.endswith(("_bars", "_quotes")))
        bars -= extraction.withdrawn_bars
        gone = f", {counted(extraction.withdrawn_bars, 'bar')} withdrawn" if extraction.withdrawn_bars else ""
        anew = f"; the whole past of {', '.join(rewritten)}" if rewritten else ""
        asked_whom = f"Asked: {', '.join(requests)}."
        if not job.settings.kite.is_configured:
            asked_whom += " Kite is not configured."
        lines = [asked_whom, f"Came: {', '.join(came)}; {counted(bars, 'new bar')}{gone}{anew}."]
    else:
        what = f"from {asked[0]} to {asked[1]}" if asked else f"up to {job.due}"
        nothing = f"Nothing {'more can be asked for now' if outcome.shortfalls else 'was missing'} {what}."
        lines = [nothing if job.settings.kite.is_configured else f"{nothing} Kite is not configured."]
    if outcome.built:
        lines.append(built_line(outcome.built))
    return lines


def _wrongs(outcome: "Outcome", state: "Status | None") -> list[_Wrong]:
    """What is wrong, the worst first. What both the run and the view of alerts report is listed once."""
    from extract.reporting.alerts import SEVERITIES

    failed = outcome.built.failed if outcome.built else []
    wrongs = [_Wrong("ERROR", f"{node}: {reason}", "trading-data build") for node, reason in failed]
    alerts = state.alerts if state else []
    wrongs += (_Wrong(alert.severity, alert.text, alert.remedy) for alert in alerts)
    for sentence in outcome.shortfalls:
        reason = (sentence.partition(". ")[2] or sentence).rstrip(".")
        # The alert about a bar that no source sent says "a valid bar of ..." where the run says "the bar of ...".
        bar = reason.rpartition("bar of ")[2]
        if not any(reason in alert.text or f" bar of {bar}." in alert.text for alert in alerts):
            wrongs.append(_Wrong("WARNING", sentence, None))
    return sorted(wrongs, key=lambda wrong: SEVERITIES.index(wrong.severity))


def _told(wrong: _Wrong) -> tuple[Text, str]:
    """A line about what is wrong, and the command to type."""
    remedy = wrong.remedy or ""
    if output.is_terminal and len(remedy) > _REMEDY:
        remedy = "trading-data status"
    return Text(f"{wrong.severity} ", SEVERITY_STYLES[wrong.severity]) + Text(wrong.text), f" > {remedy}" * bool(remedy)


def _line(text: Text, end: str = "", *, is_tight: bool = False) -> None:
    """Print a line; if it does not fit on a terminal, shorten the text and keep the end whole."""
    if output.is_terminal and is_tight:
        text.truncate(max(output.width - len(end), 20), overflow="ellipsis")
    output.print(text + Text(end, "bold"), soft_wrap=True)
