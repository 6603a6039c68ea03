"""What a command that fetches prints: its plan; or what was requested, received and built, and what is wrong."""

import argparse
import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from extract.commands.builds import build_report, built_line
from extract.commands.terminal import SEVERITY_STYLES, output, say
from extract.errors import OK
from extract.seeds import source_order
from extract.settings import Settings
from extract.words import counted

if TYPE_CHECKING:
    from extract.fetching.run import Job
    from extract.reporting.report import Outcome
    from extract.reporting.status import Status
    from extract.sources import Request

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


def show_plan(settings: Settings, options: argparse.Namespace, plan: "Sequence[Request]") -> int:
    """Print which requests a run would send, and how long the rate limits make them take."""
    from extract.fetching.plan import by_source
    from extract.sources.alpha_vantage import AlphaVantage

    paces = {
        "kite": settings.kite.requests_per_second,
        "yahoo": settings.yahoo.requests_per_second,
        "alpha_vantage": AlphaVantage.requests_per_second,
    }
    rows = []
    for planned in by_source(plan):
        bars = [request for request in planned.requests if request.instruments]
        rows.append(
            {
                "source": planned.source_id,
                "requests": len(planned.requests),
                "symbols": len({i.symbol for request in bars for i in request.instruments}),
                "from": min((request.first for request in bars), default=None),
                "to": max((request.last for request in bars), default=None),
                "seconds": round(planned.seconds(paces[planned.source_id])),
            }
        )
    if options.json:
        output.print_json(json.dumps({"exit_status": OK, "plan": rows}, default=str))
    elif not rows:
        output.print("Nothing is missing.")
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*map(str, row.values()))
        output.print(table)
    return OK


def report_job(
    options: argparse.Namespace,
    job: "Job",
    outcome: "Outcome",
    end: End,
    asked: tuple[date, date] | None = None,
) -> int:
    """Print what is wrong, and how the run ended.

    Logs the line that the metrics of ``infra/terraform/monitoring.tf`` are taken from.
    """
    import structlog

    rewritten, state = end
    told = outcome.told
    assert told is not None
    structlog.get_logger().info(
        "run finished",
        command=told.command,
        exit_status=told.exit_status,
        elapsed_seconds=round(told.elapsed_seconds, 2),
        landed_row_count=told.landed_row_count,
        landed_rows=dict(job.extraction.landed_rows),
        request_count=told.request_count,
        failed_request_count=told.failed_request_count,
        bytes_billed=told.bytes_billed,
        quality_score=state.latest_quality_score if state else None,
        latest_trade_date=state.latest_trade_date.isoformat() if state and state.latest_trade_date else None,
        shortfalls=outcome.shortfalls,
    )
    extraction = job.extraction
    if options.json:
        outcomes = {source: dict(counts) for source, counts in extraction.outcomes().items()}
        report = {
            "exit_status": outcome.exit_status,
            "run_id": extraction.run_id,
            "due": job.due,
            "outcomes": outcomes,
            "requests": dict(extraction.requests),
            "seconds": {source: round(seconds, 2) for source, seconds in extraction.seconds.items()},
            "landed_rows": dict(extraction.landed_rows),
            "not_configured": [] if job.settings.kite.is_configured else ["kite"],
            "rewritten_pasts": rewritten,
            "shortfalls": outcome.shortfalls,
        }
        output.print_json(json.dumps(report | build_report(outcome.built), default=str))
        return outcome.exit_status
    _say_summary(job, outcome, end, asked)
    return outcome.exit_status


def _say_summary(job: "Job", outcome: "Outcome", end: End, asked: tuple[date, date] | None) -> None:
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
