"""``make soak``: kill the extractor, start it twice, let its stores fail, send it short, wrong and damaged answers.

Each exercise has a seed and a count, and prints one JSON line. It is run again with our defences taken out, one
at a time: then it must find something, because otherwise finding nothing would prove nothing.

The real clients fetch from simulated providers, into a real archive and the embedded warehouse. Only the exercise of
the server builds with dbt: the others look at what is archived and loaded.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import structlog

from infra.soak import answers, downloads, leases, payloads, service
from infra.soak.faults import faults
from infra.soak.kills import kills
from infra.soak.outcome import Outcome
from infra.soak.pairs import pairs

BROKEN = {
    "kills": ("torn_writes", "unhealed"),
    "pairs": ("no_lease", "overwriting"),
    "leases": leases.BROKEN,
    "faults": ("loaded_twice",),
    "answers": answers.BROKEN,
    "payloads": tuple(payloads.BROKEN),
    "files": tuple(downloads.BROKEN),
    "service": service.BROKEN,
}


def corrupt_payloads(count: int, seed: int, broken: str | None) -> Outcome:
    """Damage the providers' answers."""
    outcome = Outcome("payloads", broken, seed)
    payloads.run(count, seed, broken, outcome.told, outcome.findings)
    outcome.count = count
    return outcome


def corrupt_files(count: int, seed: int, broken: str | None) -> Outcome:
    """Damage the exchange's files."""
    outcome = Outcome("files", broken, seed)
    downloads.run(count, seed, broken, outcome.told, outcome.findings)
    outcome.count = count
    return outcome


EXERCISES: dict[str, tuple[Callable[[int, int, str | None], Outcome], int]] = {
    "kills": (kills, 500),
    "pairs": (pairs, 200),
    "leases": (leases.leases, 50),
    "faults": (faults, 300),
    "answers": (answers.answers, 400),
    "payloads": (corrupt_payloads, 10_000),
    "files": (corrupt_files, 10_000),
    "service": (service.service, 40_000),
}


def exercise(name: str, count: int, seed: int, broken: str | None = None) -> Outcome:
    """Run one exercise."""
    began = time.monotonic()
    outcome = EXERCISES[name][0](count, seed, broken)
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> int:
    """Run the exercises, and a short run of each broken variant.

    Return 1 if an exercise found a fault, or if a broken variant was not detected.
    """
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("exercises", nargs="*", default=list(EXERCISES), help="(default: all)")
    parser.add_argument("--count", type=int, help="instead of the exercise's own")
    parser.add_argument("--seed", type=int, default=20241231)
    options = parser.parse_args()
    # Each exercise has its own line; what the extractor logs meanwhile is not for a person.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    is_well = True
    for name in options.exercises:
        count = options.count or EXERCISES[name][1]
        for broken in (None, *BROKEN[name]):
            outcome = exercise(name, count if broken is None else max(count // 10, 30), options.seed, broken)
            sys.stdout.write(json.dumps(outcome.as_json()) + "\n")
            sys.stdout.flush()
            is_well = is_well and bool(outcome.findings) == bool(broken) and (bool(broken) or outcome.count >= count)
    return 0 if is_well else 1


# Do not start this with ``-m``: each child would run this module again as its main module.
