"""``make demo``: the real commands on a simulated market."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from extract.settings import PROJECT_DIR

_console = Console(highlight=False, soft_wrap=True)

# What the user could have set, and what a demo must not touch.
_NOT_OURS = ("BIGQUERY_PROJECT", "BIGQUERY_EMULATOR_HOST", "BIGQUERY_DATASET", "BIGQUERY_LOCATION")

_NEXT = (
    (
        "one symbol's last bars, with their source and score",
        "select trade_date, close, round(100 * daily_return, 2) as percent, source_id, quality_score, is_provisional"
        " from trading_data.daily_bars where symbol = 'RELIANCE' order by trade_date desc limit 5",
    ),
    (
        "what the checks found, by source",
        "select check_id, source_id, severity, count(*) as bars from trading_data_quality.quality_bar_checks"
        " where status = 'failed' group by check_id, source_id, severity order by bars desc",
    ),
    (
        "where Kite and Yahoo are not on one scale",
        "select symbol, verdict, min(month) as first_month, max(month) as last_month, count(*) as months"
        " from trading_data_quality.quality_source_agreement where verdict in ('apart', 'unstable')"
        " group by symbol, verdict order by symbol",
    ),
)


def demo(folder: Path) -> int:
    """Make a simulated market in the folder, replay it, build, show the status, and say what to try next."""
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    environment |= {"WAREHOUSE_DIR": str(folder / "warehouse"), "ARCHIVE_URI": str(folder / "archive")}

    def run(*command: str, show: str) -> int:
        _console.print(f"\n$ {show}", style="bold", markup=False)
        done = subprocess.run([sys.executable, "-m", *command], env=environment, cwd=PROJECT_DIR, check=False)
        return done.returncode

    market = ("infra.local.market", "--archive", str(folder / "archive"))
    for command, show in (
        (market, "python -m infra.local.market --archive .demo/archive"),
        (("extract", "replay"), "trading-data replay"),
    ):
        if status := run(*command, show=show):
            return status
    run("extract", "status", show="trading-data status")
    _console.print(
        "\nThe prices are simulated: every series starts at 100.00 and walks at random, on the real sessions of the"
        " exchange. The defects in them are those that the real providers have, and the status above shows them found:"
        " a degraded last session is part of the show."
    )
    _console.print("\nTry next:", style="bold")
    _console.print(f"  export WAREHOUSE_DIR={folder}/warehouse ARCHIVE_URI={folder}/archive", markup=False)
    for text, sql in _NEXT:
        _console.print(f"  # {text}", style="dim", markup=False)
        _console.print(f'  .venv/bin/trading-data query "{sql}"', markup=False)
    return 0


def main() -> int:
    """Run the demo; ``make demo`` calls this."""
    parser = argparse.ArgumentParser(description="Run the pipeline on a simulated market.")
    parser.add_argument("folder", type=Path, help="where the demo keeps its archive and warehouse")
    return demo(parser.parse_args().folder.absolute())


if __name__ == "__main__":
    sys.exit(main())
