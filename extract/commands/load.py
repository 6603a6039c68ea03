"""``replay`` and ``import``: load archived batches, or files that a person has downloaded."""

import argparse
import json
from contextlib import nullcontext
from typing import Any

from extract.commands.builds import load_and_build, report_build
from extract.commands.options import Add, add_json, clock, day, path
from extract.commands.terminal import output, progress, say
from extract.commands.writing import starting, writing
from extract.errors import FAILED, INCOMPLETE, OK, USAGE, ConfigurationError, UsageError
from extract.seeds import exchange_date
from extract.settings import Settings
from extract.variables import archive_uri


def add_commands(add: Add) -> None:
    """Add ``replay`` and ``import`` to the command line."""
    replayed = add(
        "replay",
        replay_command,
        "load archived batches that raw lacks, then build",
        "replay",
        "replay --archive gs://bucket/prefix --no-build",
    )
    replayed.add_argument("--archive", metavar="URI", help="a folder or gs://bucket/prefix (default: ARCHIVE_URI)")
    replayed.add_argument("--no-build", action="store_true", help="load only")
    imported = add(
        "import",
        import_files_command,
        "import the exchange's own files, which a person must download (its site refuses robots), then build",
        "import ~/Downloads",
        "import ind_nifty50list.csv --as-of 2025-09-30 --dry-run",
    )
    imported.add_argument(
        "paths",
        nargs="+",
        type=path,
        metavar="PATH",
        help="files, folders and zips of corporate actions, index lists, holidays and daily records (bhavcopies)",
    )
    imported.add_argument(
        "--as-of",
        type=day,
        metavar="DAY",
        help="the day that the lists describe, YYYY-MM-DD (default: the date in a file's name, or today); a daily"
        " record contains its own day",
    )
    imported.add_argument(
        "--index", metavar="NAME", help="the name of the index, if the file's name does not contain it"
    )
    imported.add_argument("--dry-run", action="store_true", help="say what would be imported, and import nothing")
    imported.add_argument("--no-build", action="store_true", help="load only")
    add_json(replayed, imported)


def replay_command(settings: Settings, options: argparse.Namespace) -> int:
    """Load the batches of an archive that raw lacks."""
    from extract.landing.archive import Archive

    # Checked before anything starts: a replay of a mistyped address must fail, and not load nothing.
    other = Archive(archive_uri(options.archive, "--archive"), must_exist=True) if options.archive is not None else None
    with starting(settings), writing(settings, options) as (own, outcome):
        archive = other or own
        load_and_build(settings, outcome, archive, is_built=not options.no_build)
    return report_build(options, outcome, archive.uri)


def import_files_command(settings: Settings, options: argparse.Namespace) -> int:
    """Import the exchange's own files."""
    today = exchange_date(clock())
    if options.as_of and options.as_of > today:
        raise UsageError(f"--as-of {options.as_of} lies in the future; today is {today}")
    with starting(settings) if not options.dry_run else nullcontext():
        from extract.files.report import import_refusal, import_report, say_import, shortfalls
        from extract.files.take import take_files
        from extract.landing.archive import Archive

        with progress("reading files") as advance:
            files = take_files(
                Archive(settings.archive_uri),
                options.paths,
                today,
                advance,
                as_of=options.as_of,
                index=options.index,
                received_at=clock(),
                is_dry=options.dry_run,
            )
        lacking = shortfalls(files)
        if refusal := import_refusal(files):
            if options.json:
                status = USAGE if isinstance(refusal, ConfigurationError) else FAILED
                _print_import(status, import_report(files))
                # The JSON document printed above already has the reason: do not print a second one.
                options.json = False
            raise refusal
        if options.dry_run:
            status = INCOMPLETE if lacking else OK
            if options.json:
                _print_import(status, import_report(files))
            else:
                say_import(files, say, is_dry=True)
            return status
        with writing(settings, options) as (archive, outcome):
            since = min(filter(None, (file.received_on for file in files)))
            load_and_build(settings, outcome, archive, since=since, is_built=not options.no_build)
            outcome.shortfalls += lacking
    if options.json:
        return report_build(options, outcome, archive.uri, import_report(files))
    say_import(files, say)
    return report_build(options, outcome, archive.uri)


def _print_import(status: int, report: dict[str, Any]) -> None:
    output.print_json(json.dumps({"exit_status": status, **report}, default=str))
