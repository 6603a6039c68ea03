"""Serve the simulated providers from the command line."""

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime

from extract.seeds import last_closed_session
from infra.local.market import DEFAULT_FIRST, DEFAULT_SEED, draft_market
from infra.local.providers import FAULTS, Providers, environment, serving


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve from the command line until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.providers", description="Serve simulated providers.")
    day = date.fromisoformat
    parser.add_argument("--first", type=day, default=DEFAULT_FIRST, help="YYYY-MM-DD (default: %(default)s)")
    parser.add_argument("--last", type=day, help="YYYY-MM-DD (default: the last session that has closed)")
    parser.add_argument("--symbols", metavar="A,B", help="default: all of seeds/instruments.csv")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the random walks (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        market = draft_market(
            first=options.first,
            last=options.last or last_closed_session(datetime.now(UTC)),
            symbols=options.symbols.split(",") if options.symbols else None,
            seed=options.seed,
        )
    except ValueError as error:
        parser.error(str(error))
    with serving(Providers(market)) as address:
        for name, value in environment(address).items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.write(
            f"# A login's request token: simulatedrequesttoken. Faults: PUT {address}/simulation {json.dumps(FAULTS)}\n"
        )
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
