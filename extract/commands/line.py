"""The command line: which commands there are, how it is parsed, and what to type in place of a mistyped word."""

import argparse
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from extract.commands import build, export, fetch, kite_login, load, look, query, serve, warehouse
from extract.commands.options import Run, clock, run_id_of
from extract.commands.terminal import configure_logs
from extract.errors import OK, USAGE, ConfigurationError
from extract.settings import PROJECT_DIR, Settings
from extract.words import did_you_mean, encodable

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


def is_in_cloud_run() -> bool:
    """Whether this is a Cloud Run execution, which is tried again after any exit status but 0."""
    return bool(os.environ.get("CLOUD_RUN_EXECUTION"))


def print_help() -> None:
    """Print what a person sees who typed no command."""
    _parser()[0].print_help()


def prepared(arguments: Sequence[str]) -> argparse.Namespace:
    """What was typed, parsed; ``run`` is the command's function, and ``run_id`` the id of this run.

    Raises:
        SystemExit: it cannot be parsed, or it asks for help or the version; a sentence was printed.
    """
    options = _parsed(arguments)
    options.began_at = clock()
    options.run_id = run_id_of(options)
    options.typed = _typed(arguments)
    configure_logs(options.run_id, is_verbose=options.verbose)
    return options


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
        self.exit(OK if is_in_cloud_run() else USAGE, f"trading-data: {message}; see `{self.prog} --help`\n")


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

    def add(name: str, run: Run, text: str, *examples: str) -> argparse.ArgumentParser:
        told = "\n".join(f"  trading-data {example}" for example in examples)
        added = commands.add_parser(name, help=text, description=text, epilog=f"examples:\n{told}", formatter_class=raw)
        # The option may stand before or after the command. SUPPRESS, so that its absence in one place does not reset
        # what was typed in the other.
        added.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=verbose)
        added.set_defaults(run=run, command=name)
        return added

    # The help shows them in this order.
    fetch.add_commands(add)
    add(
        "ordered",
        _ordered_command,
        "fetch what a caller of the API has ordered; only the API's Cloud Run job runs it",
        "ordered",
    )
    for module in (kite_login, load, build, look, query, export, serve, warehouse):
        module.add_commands(add)
    return parser, commands.choices


def _ordered_command(settings: Settings, options: argparse.Namespace) -> int:
    """Run what a caller of the API has ordered, as if somebody had typed it."""
    if not settings.orders_uri or not settings.execution:
        raise ConfigurationError("`ordered` is for the Cloud Run job that the API starts; use `trading-data run`")
    from extract.api.orders import Orders

    order = Orders(settings.orders_uri).take(settings.execution, options.began_at)
    vars(options).update(vars(prepared(order.arguments)))
    status: int = options.run(settings, options)
    return status
