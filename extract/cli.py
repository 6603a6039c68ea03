"""``trading-data``: the pipeline's one command line."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from extract.commands.build import build_marts_command
from extract.commands.export import describe_command, export_command, tables_command
from extract.commands.fetch import backfill_command, extract_command, run_command
from extract.commands.kite_login import kite_login_command
from extract.commands.load import import_files_command, replay_command
from extract.commands.look import diagnose_command, status_command
from extract.commands.options import clock, count, day, first_day, port, run_id, run_id_of
from extract.commands.query import query_command
from extract.commands.serve import docs_command, serve_command
from extract.commands.terminal import configure_logs, output, say, screen
from extract.commands.warehouse import warehouse_command
from extract.errors import (
    FAILED,
    INCOMPLETE,
    INTERRUPTED,
    OK,
    USAGE,
    AlreadyRunning,
    ConfigurationError,
    PipelineError,
    UsageError,
    told_of_system,
)
from extract.imports import cache_without_home
from extract.reporting.rows import FORMS
from extract.seeds import FIRST_DAY
from extract.settings import PROJECT_DIR, Settings, past_proxies, require_project
from extract.words import did_you_mean, encodable

# The BigQuery client takes three seconds to import. Each command imports it while the embedded warehouse starts, which
# takes as long.


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done, 1 failed, 2 bad usage or configuration, 3 incomplete, 130 stopped by a person or the system. In a Cloud Run
    execution, an incomplete command ends with 0, and so does one that a person typed wrongly: any other status is tried
    again, and raises an alert.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        _parser()[0].print_help()
        return OK
    options = _prepared(arguments)
    # Cloud Run asks a task to stop with this signal, ten seconds before it kills it.
    signal.signal(signal.SIGTERM, _interrupt)
    past_proxies(os.environ)
    try:
        with _no_lost_interruption():
            cache_without_home(os.environ)
            require_project()
            settings = Settings.from_environment(os.environ, only_queries=options.command in _QUERIES)
            status: int = options.run(settings, options)
    except (ConfigurationError, PipelineError) as error:
        status = _failed(options, USAGE if isinstance(error, ConfigurationError) else FAILED, str(error))
        is_a_persons = isinstance(error, UsageError) or options.command in _ASKED_BY_PEOPLE
        return OK if _is_in_cloud_run() and is_a_persons else status
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return _unread()
        return _failed(options, FAILED, told_of_system(error))
    except AlreadyRunning as running:
        if getattr(options, "json", False):
            output.print_json(json.dumps({"exit_status": OK, "already_running": str(running)}))
        else:
            say(f"Nothing to do: {running} is already doing it.")
        return OK
    except KeyboardInterrupt:
        # A second signal neither hides this sentence nor prints a traceback. After it, it ends the process at once.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        screen.print("trading-data: interrupted; run the same command again to continue", markup=False)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN if before is signal.SIG_IGN else signal.SIG_DFL)
        return INTERRUPTED
    if status == INCOMPLETE and settings.execution:
        # Cloud Run would repeat the task on any status but 0, and a bar that a source lacks now is still missing a
        # minute later. The log has the real status, and the metrics taken from it raise the alerts.
        return OK
    return status


def _is_in_cloud_run() -> bool:
    return bool(os.environ.get("CLOUD_RUN_EXECUTION"))


def _prepared(arguments: Sequence[str]) -> argparse.Namespace:
    options = _parsed(arguments)
    options.began_at = clock()
    options.run_id = run_id_of(options)
    options.typed = _typed(arguments)
    configure_logs(options.run_id, is_verbose=options.verbose)
    return options


def _ordered_command(settings: Settings, options: argparse.Namespace) -> int:
    """Run what a caller of the API has ordered, as if somebody had typed it."""
    if not settings.orders_uri or not settings.execution:
        raise ConfigurationError("`ordered` is for the Cloud Run job that the API starts; use `trading-data run`")
    from extract.api.orders import Orders

    order = Orders(settings.orders_uri).take(settings.execution, options.began_at)
    vars(options).update(vars(_prepared(order.arguments)))
    status: int = options.run(settings, options)
    return status


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _no_lost_interruption() -> Iterator[None]:
    """Repeat an interruption that came while Python ran a destructor: Python would print that it ignores it."""
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # A moment later, because the destructor is still running. SIGINT may be ignored; SIGTERM is ours.
            again = [threading.main_thread().ident, signal.SIGTERM]
            threading.Timer(0.05, signal.pthread_kill, again).start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _failed(options: argparse.Namespace, status: int, reason: str) -> int:
    """Tell a person, a program that reads JSON, and the log, why a command failed."""
    screen.print(f"trading-data: {reason}", style="red", markup=False, soft_wrap=True)
    if getattr(options, "json", False):
        output.print_json(json.dumps({"exit_status": status, "error": reason}))
    if not screen.is_terminal:
        import structlog

        # Cloud Logging reads a severity only from lines of JSON.
        structlog.get_logger().error("command failed", command=options.command, exit_status=status, reason=reason)
    return status


def _unread() -> int:
    """End quietly: the reader of the output, such as ``head``, has closed it and wants no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _typed(arguments: Sequence[str]) -> str:
    """The command to type in order to run it again, without the run id: each run must have its own id."""
    kept = list(arguments)
    while "--run-id" in kept:
        at = kept.index("--run-id")
        del kept[at : at + 2]
    typed = shlex.join(["trading-data", *(word for word in kept if not word.startswith("--run-id="))])
    # The name of a file may have bytes that are not text, which no log takes.
    return encodable(typed)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(OK if _is_in_cloud_run() else USAGE, f"trading-data: {message}; see `{self.prog} --help`\n")


type _Add = Callable[[str, Callable[[Settings, argparse.Namespace], int], str], argparse.ArgumentParser]


class _Version(argparse.Action):
    """Print the version, and in a checkout the commit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        commit = None
        if (PROJECT_DIR / ".git").exists():
            with suppress(OSError, subprocess.SubprocessError):
                asked = ["git", "-C", str(PROJECT_DIR), "describe", "--always", "--dirty", "--exclude=*"]
                commit = subprocess.check_output(asked, text=True, stderr=subprocess.DEVNULL, timeout=5).strip()
        print(f"trading-data {version('trading-data')}" + (f" (commit {commit})" if commit else ""))
        parser.exit(OK)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse what was typed; where a word is close to a known one, the error suggests that one."""
    parser, commands = _parser()
    typed = next((word for word in arguments if not word.startswith("-")), None)
    if typed == "help":
        asked = arguments[arguments.index(typed) + 1 :]
        return _parsed([*asked, "--help"])
    if typed is not None and typed not in commands:
        meant = _OTHER_WORDS.get(typed.casefold())
        hint = f"; did you mean {meant}?" if meant else did_you_mean(typed, commands)
        parser.error(f"there is no command {typed!r}{hint}")
    options, rest = parser.parse_known_args(arguments)
    if rest:
        known = [name for name in commands[options.command]._option_string_actions if name.startswith("--")]
        commands[options.command].error(f"{rest[0]} is not known here" + did_you_mean(rest[0].partition("=")[0], known))
    return options


_ABOUT = """
exit status:
  0  done
  1  failed
  2  bad usage or configuration; nothing was done
  3  done, but incomplete or degraded; the report says what is missing
  130  stopped by Ctrl-C, or by the system

examples:
  trading-data run --symbols TCS,INFY --dry-run
  trading-data status

Settings are environment variables; extract/README.md lists them. With none
set, everything happens in this folder.
"""

# What other programs call such a command.
_OTHER_WORDS = {
    "dashboard": "serve",
    "download": "extract",
    "fetch": "extract",
    "init": "run",
    "login": "kite-login",
    "restore": "replay",
    "sql": "query",
    "stop": "warehouse --stop",
    "sync": "run",
    "test": "build",
    "update": "run",
    "version": "--version",
    "web": "serve",
}

# These need the warehouse alone.
_QUERIES = {"query", "tables", "describe", "export"}

# No schedule starts them.
_ASKED_BY_PEOPLE = _QUERIES | {"diagnose"}

# Two examples of each command.
_EXAMPLES = {
    "run": ("run", "run --mode quotes --symbols TCS,INFY"),
    "extract": ("extract --symbols TCS", "extract --from 2024-01-01 --to 2024-12-31 --source yahoo"),
    "backfill": ("backfill --from 2020-01-01", "backfill --symbols TCS --from 2024-01-01 --again --dry-run"),
    "ordered": ("ordered",),
    "kite-login": ("kite-login", "kite-login 'https://127.0.0.1/?request_token=abc&status=success'"),
    "replay": ("replay", "replay --archive gs://bucket/prefix --no-build"),
    "import": ("import ~/Downloads", "import ind_nifty50list.csv --as-of 2025-09-30 --dry-run"),
    "build": ("build", "build --full-refresh"),
    "status": ("status", "status --json"),
    "diagnose": ("diagnose", "diagnose --json"),
    "query": (
        "query \"select * from daily_bars where symbol = 'TCS' order by trade_date desc limit 5\"",
        "query --file question.sql -o answer.csv",
    ),
    "tables": ("tables", "describe daily_bars"),
    "describe": ("describe daily_bars", "describe quality_bar_checks"),
    "export": (
        "export daily_bars -o bars.parquet",
        "export daily_bars --symbols TCS,INFY --from 2020-01-01 --wide close -o closes.csv",
    ),
    "serve": ("serve", "serve --host 0.0.0.0 --port 9000"),
    "docs": ("docs", "docs --no-serve"),
    "warehouse": ("warehouse", "warehouse --stop"),
}


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of the command line, and the parser of each command by its name."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="trading-data",
        description="Daily bars of Indian equities that can be trusted.",
        epilog=_ABOUT,
        formatter_class=raw,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version, and in a checkout also the commit"
    )
    verbose = "on a terminal, also show each request and each attempt"
    parser.add_argument("-v", "--verbose", action="store_true", help=verbose)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, run: Callable[[Settings, argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        examples = "\n".join(f"  trading-data {example}" for example in _EXAMPLES.get(name, ()))
        added = commands.add_parser(
            name, help=text, description=text, epilog=f"examples:\n{examples}", formatter_class=raw
        )
        # The option may stand before or after the command. SUPPRESS, so that its absence in one place does not reset
        # what was typed in the other.
        added.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=verbose)
        added.set_defaults(run=run, command=name)
        return added

    ran = command("run", run_command, "the scheduled job: fetch what is new, build, report")
    ran.add_argument(
        "--mode",
        choices=("full", "quotes"),
        default="full",
        help="full (the default): ask for several years of each symbol, to find prices that a provider has rewritten;"
        " quotes: ask for today's provisional bars of all symbols, in one or two requests",
    )
    extracted = command(
        "extract", extract_command, "fetch and load into raw, without a build; without --from, fetch what is new"
    )
    extracted.add_argument("--from", dest="first", type=first_day, metavar="DAY", help="the first day, YYYY-MM-DD")
    filled = command(
        "backfill",
        backfill_command,
        "fetch a range of the past, then build; it continues where the last backfill stopped",
    )
    filled.add_argument(
        "--from",
        dest="first",
        type=first_day,
        metavar="DAY",
        default=FIRST_DAY,
        help="the first day (default: %(default)s)",
    )
    for ranged in (extracted, filled):
        ranged.add_argument(
            "--to",
            dest="last",
            type=day,
            metavar="DAY",
            help="the last day (default: the last session that has closed)",
        )
        ranged.add_argument(
            "--again", action="store_true", help="ask for the whole range, also for what was received before"
        )
        ranged.add_argument(
            "--source",
            choices=("auto", "kite", "yahoo", "alpha_vantage"),
            default="auto",
            help="the provider to ask (default: auto, all providers that serve the exchange's bars)",
        )
    for fetching in (ran, extracted, filled):
        fetching.add_argument(
            "--symbols", default="ALL", metavar="A,B", help="the symbols to ask for (default: %(default)s)"
        )
        fetching.add_argument(
            "--run-id",
            metavar="ID",
            type=run_id,
            help="the id of this run in the log and the tables (default: a new one)",
        )
        fetching.add_argument(
            "--dry-run", action="store_true", help="only print the plan: the requests, and how long they take"
        )
    command(
        "ordered", _ordered_command, "fetch what a caller of the API has ordered; only the API's Cloud Run job runs it"
    )
    logged_in = command(
        "kite-login", kite_login_command, "log in to Kite for the day; this needs a person and a browser"
    )
    logged_in.add_argument(
        "answer", nargs="?", metavar="ADDRESS", help="the address that Kite redirected to, or the request token in it"
    )
    replayed = command("replay", replay_command, "load archived batches that raw lacks, then build")
    replayed.add_argument("--archive", metavar="URI", help="a folder or gs://bucket/prefix (default: ARCHIVE_URI)")
    replayed.add_argument("--no-build", action="store_true", help="load only")
    imported = command(
        "import",
        import_files_command,
        "import the exchange's own files, which a person must download (its site refuses robots), then build",
    )
    imported.add_argument(
        "paths",
        nargs="+",
        type=Path,
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
    built = command(
        "build", build_marts_command, "run dbt and its tests over the data that the marts do not contain yet"
    )
    built.add_argument("--full-refresh", action="store_true", help="build everything, not only what has changed")
    shown = command("status", status_command, "say whether the latest session was received and can be trusted")
    examined = command(
        "diagnose",
        diagnose_command,
        "show how long the last runs took and what they cost, check what a run needs, and say what to do",
    )
    _add_asking(command)
    served = command("serve", serve_command, "serve the web page and the HTTP API, until Ctrl-C")
    served.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s; for Cloud Run: 0.0.0.0)"
    )
    served.add_argument(
        "--port",
        type=port,
        default=os.environ.get("PORT") or "8000",
        help="the port to listen on (default: the environment variable PORT, or 8000)",
    )
    documented = command(
        "docs",
        docs_command,
        "write dbt's documentation (the lineage graph, and all columns), and serve it until Ctrl-C",
    )
    documented.add_argument(
        "--port", type=port, default="8080", help="the port to listen on (default: %(default)s; 0: any free port)"
    )
    documented.add_argument("--no-serve", action="store_true", help="only write it, and print the path of its page")
    kept = command(
        "warehouse", warehouse_command, "keep the embedded warehouse running and print its address, until Ctrl-C"
    )
    kept.add_argument("--stop", action="store_true", help="stop the warehouse that an earlier command left running")
    for reporting in (ran, extracted, filled, replayed, imported, built, shown, examined):
        reporting.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser, commands.choices


def _add_asking(command: _Add) -> None:
    asked = command("query", query_command, "query the warehouse in GoogleSQL")
    asked.add_argument("sql", metavar="SQL", nargs="?", help="one statement, or - to read it from standard input")
    asked.add_argument("--file", type=Path, metavar="FILE", help="read the statement from a file")
    asked.add_argument("--format", choices=FORMS, help="the format (default: by the file name in --output, else table)")
    asked.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the rows to this file")
    asked.add_argument("--max-rows", type=count, metavar="N", help="show the first N rows (default: all)")
    asked.add_argument("--write", action="store_true", help="allow a statement that changes the warehouse")
    command("tables", tables_command, "list the tables that `query` and `export` can read")
    told = command("describe", describe_command, "list the columns of a table")
    told.add_argument("table", metavar="TABLE", help="such as daily_bars")
    taken = command("export", export_command, "write a table to a file")
    taken.add_argument("table", metavar="TABLE", help="such as daily_bars")
    taken.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="the file to write")
    taken.add_argument(
        "--format",
        choices=("parquet", "csv", "arrow"),
        help="the format (default: by the ending of --output: .parquet, .csv, .arrow or .feather)",
    )
    taken.add_argument("--symbols", default="ALL", metavar="A,B", help="the symbols to write (default: %(default)s)")
    taken.add_argument("--from", dest="first", type=day, metavar="DAY", help="the first day, YYYY-MM-DD")
    taken.add_argument("--to", dest="last", type=day, metavar="DAY", help="the last day, YYYY-MM-DD")
    taken.add_argument(
        "--wide",
        metavar="COLUMN",
        help="write one row for each day and one column for each symbol, with the values of this column",
    )
    taken.add_argument(
        "--float",
        action="store_true",
        help="write prices as float64, which pandas calculates with (default: exact decimals)",
    )
