"""``kite-login``: log in to Kite for the day."""

import argparse
import sys

from extract.commands.options import Add, clock
from extract.commands.terminal import say
from extract.errors import OK
from extract.seeds import EXCHANGE_ZONE
from extract.settings import Settings


def add_commands(add: Add) -> None:
    """Add ``kite-login`` to the command line."""
    command = add(
        "kite-login",
        kite_login_command,
        "log in to Kite for the day; this needs a person and a browser",
        "kite-login",
        "kite-login 'https://127.0.0.1/?request_token=abc&status=success'",
    )
    command.add_argument(
        "answer", nargs="?", metavar="ADDRESS", help="the address that Kite redirected to, or the request token in it"
    )


def kite_login_command(settings: Settings, options: argparse.Namespace) -> int:
    """Open Kite's session with the address that Kite redirected the browser to."""
    from extract.sources.kite_session import log_in, login_url

    address = login_url(settings.kite)
    answer = options.answer
    if answer is None:
        say(f"Log in here, in a browser: {address}")
        say("Then paste the address that the browser was sent to, or the request_token in it:")
        answer = sys.stdin.readline()
    session = log_in(settings.kite, answer, clock())
    until = session.expires_at.astimezone(EXCHANGE_ZONE)
    say(f"Kite's session is valid until {until:%Y-%m-%d %H:%M} IST; it is stored in {settings.kite.token_store}.")
    return OK
