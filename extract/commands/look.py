"""``status`` and ``diagnose``: the state of the data, and of the pipeline."""

import argparse
import json
from contextlib import ExitStack

from extract.commands.options import Add, add_json, clock
from extract.commands.terminal import Step, output
from extract.commands.warehouse import kept_warehouse
from extract.commands.writing import opened, starting
from extract.errors import INCOMPLETE, OK
from extract.landing.lease import seen_holder
from extract.seeds import EXCHANGE_ZONE
from extract.settings import Settings


def add_commands(add: Add) -> None:
    """Add ``status`` and ``diagnose`` to the command line."""
    shown = add(
        "status",
        status_command,
        "say whether the latest session was received and can be trusted",
        "status",
        "status --json",
    )
    examined = add(
        "diagnose",
        diagnose_command,
        "show how long the last runs took and what they cost, check what a run needs, and say what to do",
        "diagnose",
        "diagnose --json",
    )
    add_json(shown, examined)


def status_command(settings: Settings, options: argparse.Namespace) -> int:
    """Print the state of the data; the exit status is 3 if it is degraded."""
    with starting(settings), opened(settings) as warehouse, Step("reading the state of the data"):
        from extract.reporting.status import read_status

        status = read_status(warehouse)
        at_work = seen_holder(settings.lease_uri, clock())
        kept = kept_warehouse(settings)
    if settings.execution:
        import structlog

        # The freshness objective in infra/terraform is measured by this line. A few bars are not the session.
        structlog.get_logger().info(
            "state of the data",
            is_session_day=status.due_trade_date == clock().astimezone(EXCHANGE_ZONE).date(),
            is_fresh=status.sessions_behind == 0 and status.latest_valid_record_count >= 0.9 * status.instrument_count,
            is_degraded=status.is_degraded,
        )
    if options.json:
        output.print_json(json.dumps(status.as_json() | {"at_work": at_work.run_id if at_work else None}))
    else:
        from extract.reporting.screen import show, status_screen

        show(output, status_screen(status, kept, at_work))
    return INCOMPLETE if status.is_degraded else OK


def diagnose_command(settings: Settings, options: argparse.Namespace) -> int:
    """Print what the last runs did, and whether a run has what it needs; the exit status is 3 if something is wrong."""
    with starting(settings), ExitStack() as leave:
        leave.enter_context(Step("looking at what a run needs"))
        from extract.reporting.diagnosis import diagnose
        from extract.reporting.screen import diagnosis_screen, show

        told = diagnose(settings, lambda: leave.enter_context(opened(settings)), clock())
    if options.json:
        output.print_json(json.dumps(told.as_json(), default=str))
    else:
        show(output, diagnosis_screen(told))
    return OK if told.is_well else INCOMPLETE
