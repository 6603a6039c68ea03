"""Check that a candidate's marts equal the live ones, row for row, before the live job gets the image of a release.

The candidate job has loaded the live archive into datasets of its own, and built them with the new image.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

from extract.errors import FAILED, OK, USAGE, ConfigurationError, PipelineError
from extract.settings import PROJECT_DIR, Settings
from extract.variables import Variables
from extract.warehouse.connection import Warehouse, open_warehouse
from extract.warehouse.loading import loaded_paths
from extract.warehouse.notes import unmerged_batches

# The layers that people read, with the suffixes of their datasets.
_LAYERS = {"marts": "", "quality": "_quality"}

# Reports of runs are left out: a candidate writes its own into another archive.
_REPORTS = "extract_runs/"

ALL = "all"


def compared_tables() -> dict[str, str]:
    """Every mart and quality view of this checkout, with the suffix of its dataset."""
    return {
        path.stem: suffix
        for layer, suffix in _LAYERS.items()
        for path in sorted((PROJECT_DIR / "models" / layer).glob("*.sql"))
    }


def comparison(table: str, live: str, candidate: str) -> str:
    """The statement that compares a table of two datasets: by the number of rows, and a checksum independent of order.

    Two equal rows would cancel each other out in the checksum, but the tests of the tables' grain allow no equal rows.
    """
    return " union all ".join(
        f"select '{side}' as side, count(*) as row_count, bit_xor(farm_fingerprint(to_json_string(t))) as checksum"
        f" from `{dataset}.{table}` as t"
        for side, dataset in (("live", live), ("candidate", candidate))
    )


def differing_tables(live: Warehouse, candidate: Warehouse) -> dict[str, str]:
    """The tables that differ, and how; a table that only one of the two has is included.

    Raises:
        PipelineError: BigQuery refused or failed.
    """
    differing = {}
    for table, suffix in compared_tables().items():
        there = {w.dataset: w.exists(f"{w.dataset}{suffix}.{table}") for w in (live, candidate)}
        if not all(there.values()):
            differing[table] = (
                "in neither" if not any(there.values()) else f"only in {max(there, key=there.__getitem__)}"
            )
            continue
        sides = [f"{w.client.project}.{w.dataset}{suffix}" for w in (live, candidate)]
        found = {row["side"]: (row["row_count"], row["checksum"]) for row in live.query(comparison(table, *sides))}
        if found["live"] != found["candidate"]:
            rows = f"{found['live'][0]} rows live, {found['candidate'][0]} of the candidate"
            differing[table] = rows if found["live"][0] != found["candidate"][0] else f"{rows}, of another content"
    return differing


def why_they_may_differ(live: Warehouse, candidate: Warehouse) -> str:
    """Causes of the differences other than the release, and what to do; if there are none, how to examine the tables.

    Raises:
        PipelineError: BigQuery refused or failed.
    """
    held, tried = ({p for p in loaded_paths(w) if not p.startswith(_REPORTS)} for w in (live, candidate))
    if held - tried:
        return f"the live job has loaded {len(held - tried)} batches that the candidate has not: run this again"
    if tried - held:
        return (
            f"the live job has not loaded {len(tried - held)} batches of the archive: execute it, then run this again"
        )
    if unmerged := unmerged_batches(live):
        return f"the live marts lack {len(unmerged)} batches that are loaded: execute a build, then run this again"
    return f"look at both datasets, {live.dataset} and {candidate.dataset}; if it is meant, name them with --accept"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Compare, print the differences, and return 0 if there are none or all are accepted, else 1; 2 for bad usage."""
    options = _parser().parse_args(arguments)
    accepted = set(options.accept.split(",")) - {""}
    if unknown := accepted - {ALL, *compared_tables()}:
        print(f"{', '.join(sorted(unknown))} is not compared; name {ALL}, or of {', '.join(compared_tables())}")
        return USAGE
    try:
        settings = Settings.from_environment(environment)
        other = Variables(environment).value("BIGQUERY_CANDIDATE_DATASET", f"{settings.dataset}_candidate")
        if other == settings.dataset:
            print("BIGQUERY_CANDIDATE_DATASET is BIGQUERY_DATASET: name the candidate's")
            return USAGE
        with open_warehouse(settings) as live:
            candidate = replace(live, dataset=other)
            differing = differing_tables(live, candidate)
            for table in compared_tables():
                print(f"{table}: {differing.get(table, 'the same')}")
            if ALL in accepted or set(differing) <= accepted:
                return OK
            print(f"The candidate's marts are not the live ones: {why_they_may_differ(live, candidate)}")
            return FAILED
    except (ConfigurationError, PipelineError) as error:
        print(f"The marts could not be compared: {error}")
        return USAGE if isinstance(error, ConfigurationError) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.delivery", description="Say whether a candidate's marts are the live ones."
    )
    parser.add_argument(
        "--accept", default="", metavar="TABLE,...", help=f"what may differ, by a person's decision; `{ALL}` for all"
    )
    return parser
