"""The command at a time of the caller's choice, but for what the warehouse takes for now.

python -m tests.extract.command_at 2027-01-04T18:30:00+05:30 run --json
"""

import sys
from contextlib import ExitStack
from datetime import datetime
from unittest.mock import patch

from extract import cli
from extract.commands import fetch, line, load, writing


def main() -> int:
    """Run the command, and return its exit status."""
    now = datetime.fromisoformat(sys.argv[1])
    with ExitStack() as leave:
        for module in (line, fetch, load, writing):
            leave.enter_context(patch.object(module, "clock", lambda: now))
        return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
