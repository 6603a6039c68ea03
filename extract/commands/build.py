"""``build``: run dbt."""

import argparse

from extract.commands.builds import report_build
from extract.commands.options import Add, add_json
from extract.commands.terminal import progress
from extract.commands.writing import opened, starting, writing
from extract.settings import Settings


def add_commands(add: Add) -> None:
    """Add ``build`` to the command line."""
    command = add(
        "build",
        build_marts_command,
        "run dbt and its tests over the data that the marts do not contain yet",
        "build",
        "build --full-refresh",
    )
    command.add_argument("--full-refresh", action="store_true", help="build everything, not only what has changed")
    add_json(command)


def build_marts_command(settings: Settings, options: argparse.Namespace) -> int:
    """Run dbt over the batches that the marts lack, or over everything."""
    with starting(settings):
        from extract.warehouse.build import build
        from extract.warehouse.dbt_runner import preload_dbt

        preload_dbt()
        with (
            writing(settings, options) as (archive, outcome),
            opened(settings) as warehouse,
            progress("building models") as advance,
        ):
            outcome.builds.append(build(settings, warehouse, advance, full_refresh=options.full_refresh))
    return report_build(options, outcome, archive.uri)
