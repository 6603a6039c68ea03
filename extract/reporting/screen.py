"""The status and the diagnosis, laid out for a terminal of 80 columns."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from extract.landing.lease_record import Record
from extract.reporting.alerts import Alert
from extract.reporting.diagnosis import Diagnosis
from extract.reporting.past_runs import Bill, Run
from extract.reporting.status import VERDICTS, Status
from extract.seeds import EXCHANGE_ZONE

_VERDICT_STYLES = {"ok": "bold green", "incomplete": "bold yellow", "wrong": "bold red"}
_STYLES = {"CRITICAL": "bold red", "ERROR": "red", "WARNING": "yellow", "INFO": "cyan"}


def show(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print the parts of a screen; lines of text are not wrapped, so that they can be copied."""
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))


def status_screen(
    status: Status, kept_warehouse: str | None = None, at_work: Record | None = None
) -> list[RenderableType]:
    """The verdict, the reasons against the data with their remedies, and then the state in numbers.

    Args:
        status: the state.
        at_work: the command that fetches, loads or builds now; None if there is none.
        kept_warehouse: where the embedded warehouse keeps running, and how to stop it; None if it does not.
    """
    table = _labelled()
    for label, value in _status_rows(status):
        table.add_row(label, value)
    if kept_warehouse:
        table.add_row("Kept running", kept_warehouse)
    state = status.verdict.state
    verdict = Text.assemble((VERDICTS[state], _VERDICT_STYLES[state]), f". {status.session}.")
    others = [alert for alert in status.verdict.alerts if alert.severity == "INFO"]
    first = Table.grid()
    first.add_row(verdict)
    if at_work:
        first.add_row(
            f"{at_work.run_id} ({at_work.command}) is running now. Wait for its end before you type a remedy."
        )
    return [first, *_alerts(status.verdict.reasons), "", table, *_titled("Worth knowing", others)]


def diagnosis_screen(diagnosis: Diagnosis) -> list[RenderableType]:
    """The checks, the last runs and their bill, the requests by source, the longest statements, and the alerts."""
    checks = _labelled()
    for check in diagnosis.checks:
        checks.add_row(check.subject, Text(check.text, style="" if check.is_ok else "red"))
        if not check.is_ok and check.remedy:
            checks.add_row("", Text(f"> {check.remedy}", style="bold"))
    parts: list[RenderableType] = [checks]
    if diagnosis.runs:
        runs = _columns("Started (IST)", "Command", "Exit", "Seconds", "Requests", "Failed", "Rows", "MB billed")
        for run in diagnosis.runs:
            runs.add_row(
                _ist(run.started_at),
                run.command or "?",
                _end_of(run, diagnosis),
                "" if run.elapsed_seconds is None else f"{run.elapsed_seconds:.1f}",
                f"{run.request_count:,}",
                f"{run.failed_request_count:,}",
                "" if run.landed_row_count is None else f"{run.landed_row_count:,}",
                "" if run.bytes_billed is None else f"{run.bytes_billed / 1e6:,.0f}",
            )
        parts += ["", Text("The last runs", style="bold"), runs, _billed(diagnosis.bill)]
    if diagnosis.sources:
        sources = _columns("Source", "Requests", "Failed", "Rows", "Median ms", "Longest ms")
        for source in diagnosis.sources:
            counts = (source.request_count, source.failed_count, source.row_count, source.median_ms, source.longest_ms)
            sources.add_row(source.source_id, *(f"{count:,}" for count in counts))
        parts += ["", Text("What the last run asked", style="bold"), sources]
    if diagnosis.statements:
        statements = _columns("Seconds", "MB billed", "Kind", "Statement")
        for statement in diagnosis.statements:
            told = (f"{statement.seconds:.2f}", f"{statement.bytes_billed / 1e6:,.0f}", statement.kind)
            # The statement is cut to what is left of the line.
            statements.add_row(*told, Text(statement.text[:46], no_wrap=True, overflow="ellipsis"))
        parts += ["", Text("The longest statements of the last day", style="bold"), statements]
    return [*parts, *_titled("Alerts", diagnosis.alerts)]


def _billed(bill: Bill | None) -> str:
    if bill is None:
        return "This warehouse bills nothing."
    return (
        f"BigQuery billed {bill.bytes_billed / 1e9:,.1f} GB for the builds of the last {bill.days} days, estimated at"
        f" {bill.estimated_price:,.2f} US$. The first tebibyte of a month is free; tests and queries are not counted."
    )


def _status_rows(status: Status) -> Iterator[tuple[str, str]]:
    yield "Latest session", f"{status.latest_trade_date or 'none'} ({_lag(status)}; due is {status.due_trade_date})"
    yield (
        "Bars in it"
        if status.assessed_trade_date == status.latest_trade_date
        else f"Bars of {status.assessed_trade_date}",
        f"{status.latest_valid_record_count} of {status.instrument_count} valid{_of_the_evening(status)}",
    )
    yield "  without a valid bar", _names(status.unserved_symbols)
    yield "  score", _score(status.latest_quality_score)
    yield (
        "All bars",
        f"{status.record_count:,} of {status.symbol_count} symbols, {status.valid_record_count:,} valid",
    )
    yield "  by the exchange's record", f"{status.exchange_record_count:,}"
    yield "  held back", f"{status.unreconciled_record_count:,} from a fallback whose scale cannot be told"
    yield "  score", _score(status.quality_score)
    yield (
        "Suspect sessions",
        f"{status.repeated_session_count} repeat the one before; {status.overdue_session_count} still lack final bars",
    )
    yield "Stale sources", _names(status.stale_sources)
    yield "Unknown symbols", _names(status.unknown_symbols)
    for number, source in enumerate(status.last_run):
        yield (
            "Last run" if number == 0 else "",
            f"{source.source_id} at {_ist(source.started_at)} IST: {source.ok_count} of {source.symbol_count} symbols",
        )
    yield "Not yet built", f"{status.unmerged_batch_count} batches"
    yield "Calendar ends", str(status.calendar_ends_on)


def _of_the_evening(status: Status) -> str:
    provisional, fallback = status.latest_provisional_record_count, status.latest_fallback_record_count
    if not provisional:
        return f"; {fallback} of them from a fallback" if fallback else ""
    # In the evening, a fallback's bar is used even if the primary source has served everything.
    reason = f": {fallback} from a fallback, which comes first until then" if fallback else ""
    return f"; {provisional} are provisional until the next morning{reason}"


def _lag(status: Status) -> str:
    behind = status.sessions_behind
    if behind is None:
        return "nothing is here"
    return "up to date" if behind == 0 else f"{behind} session{'' if behind == 1 else 's'} behind"


def _alerts(alerts: Sequence[Alert]) -> Iterator[RenderableType]:
    for alert in alerts:
        line = Table.grid(padding=(0, 1))
        line.add_row(Text(f"{alert.severity:8}", style=_STYLES[alert.severity]), Text(alert.text))
        yield line
        if alert.remedy:
            yield Text.assemble("         ", (f"> {alert.remedy}", "bold"))


def _titled(title: str, alerts: Sequence[Alert]) -> Iterator[RenderableType]:
    if alerts:
        yield ""
        yield Text(title, style="bold")
        yield from _alerts(alerts)


def _labelled() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    return table


def _columns(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    for name in names:
        is_text = name in ("Started (IST)", "Command", "Source", "Kind", "Statement")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    return table


def _names(symbols: Sequence[str]) -> str:
    shown = ", ".join(symbols[:12])
    return f"{shown} and {len(symbols) - 12} more" if len(symbols) > 12 else shown or "none"


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} of 100"


def _end_of(run: Run, diagnosis: Diagnosis) -> str:
    """Its exit status. A run without one is running if it holds the lease, and else was killed."""
    if run.exit_status is not None:
        return str(run.exit_status)
    if run.run_id == diagnosis.at_work:
        return "running"
    is_lease_read = any(check.subject == "writer" and check.is_ok for check in diagnosis.checks)
    return "killed" if is_lease_read else "unknown"


def _ist(moment: datetime) -> str:
    return f"{moment.astimezone(EXCHANGE_ZONE):%Y-%m-%d %H:%M}"
