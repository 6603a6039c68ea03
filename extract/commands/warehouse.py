"""``warehouse``: keep the embedded warehouse running, or stop it."""

import argparse
import signal
from contextlib import suppress

from extract.commands.options import Add
from extract.commands.terminal import output, screen
from extract.commands.writing import opened
from extract.errors import INCOMPLETE, OK, ConfigurationError
from extract.settings import Settings


def add_commands(add: Add) -> None:
    """Add ``warehouse`` to the command line."""
    command = add(
        "warehouse",
        warehouse_command,
        "keep the embedded warehouse running and print its address, until Ctrl-C",
        "warehouse",
        "warehouse --stop",
    )
    command.add_argument("--stop", action="store_true", help="stop the warehouse that an earlier command left running")


def warehouse_command(settings: Settings, options: argparse.Namespace) -> int:
    """Keep the embedded warehouse running, or stop it."""
    if not settings.is_embedded:
        raise ConfigurationError("BIGQUERY_PROJECT or BIGQUERY_EMULATOR_HOST is set; unset it to use the embedded one")
    if options.stop:
        return _stop_warehouse(settings)
    with suppress(KeyboardInterrupt), opened(settings) as warehouse:
        output.print(warehouse.address, markup=False)
        screen.print("The embedded warehouse is running; other commands find it. Ctrl-C stops it.", markup=False)
        while True:
            signal.pause()
    return _stop_warehouse(settings)


def _stop_warehouse(settings: Settings) -> int:
    from infra.local import warehouse as embedded

    if embedded.find(settings.warehouse_dir) is None:
        screen.print(f"No embedded warehouse is running in {settings.warehouse_dir}.", markup=False, soft_wrap=True)
        return OK
    if embedded.stop(settings.warehouse_dir):
        screen.print("The embedded warehouse has stopped.", markup=False)
        return OK
    screen.print("Another command uses the embedded warehouse, which will stop after that command.", markup=False)
    return INCOMPLETE


def kept_warehouse(settings: Settings) -> str | None:
    """Where the embedded warehouse runs, for how long, and how to stop it; None if it ends with this command."""
    if not settings.is_embedded:
        return None
    from infra.local import warehouse as embedded

    server = embedded.find(settings.warehouse_dir)
    if server is None or not server.idle_seconds:
        return None
    idle = f"{server.idle_seconds / 60:.0f} minutes" if server.idle_seconds >= 90 else f"{server.idle_seconds:g} s"
    return f"{server.address}, for {idle} after the last command; `trading-data warehouse --stop` stops it"
