"""A peer's side of the benchmark: runs in the peer's environment, which has none of our code, and times one step.

A peer is a module with ``load`` and ``delta`` (or ``fetch``). Each takes a path and writes its bars into the table
``peer.bars`` of the warehouse that ``BIGQUERY_EMULATOR_HOST`` names, where the benchmark checks them. Imports and
connections before a step count for the command, and not for the step.
"""

import importlib
import json
import sys
import time
from pathlib import Path

PROJECT = "local"
DATASET = "peer"
TABLE = f"{DATASET}.bars"
KEY = ("symbol", "trade_date", "source_id")


def main() -> None:
    """Run ``peer.py MODULE STEP PATH`` and print the seconds that the step took."""
    module, step, path = sys.argv[1:]
    run = getattr(importlib.import_module(f"infra.bench.{module}"), step)
    began = time.monotonic()
    run(Path(path))
    sys.stdout.write(json.dumps({"seconds": time.monotonic() - began}) + "\n")


if __name__ == "__main__":
    main()
