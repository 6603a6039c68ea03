"""Code that the commands that build share."""

import argparse
import json
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from extract.commands.terminal import output, progress, say
from extract.commands.writing import opened
from extract.settings import Settings
from extract.words import counted

if TYPE_CHECKING:
    from extract.landing.archive import Archive
    from extract.reporting.report import Outcome
    from extract.warehouse.build import Build


def load_and_build(
    settings: Settings,
    outcome: "Outcome",
    archive: "Archive",
    *,
    since: date | None = None,
    is_built: bool = True,
) -> None:
    """Load the archived batches that raw lacks, and build."""
    from extract.warehouse.build import build
    from extract.warehouse.dbt_runner import preload_dbt
    from extract.warehouse.replay import Replay, replay

    if is_built:
        preload_dbt()
    with opened(settings) as warehouse:
        with progress("loading batches") as advance:
            outcome.replayed = Replay()
            replay(archive, warehouse, advance, since=since, outcome=outcome.replayed)
        outcome.shortfalls = [f"refused {path}: {reason}" for path, reason in outcome.replayed.refused]
        if is_built:
            with progress("building models") as advance:
                outcome.builds.append(build(settings, warehouse, advance))


def report_build(
    options: argparse.Namespace, outcome: "Outcome", archive_uri: str, imported: dict[str, Any] | None = None
) -> int:
    """Print what was loaded and built, and return the exit status."""
    replayed = outcome.replayed
    if options.json:
        report: dict[str, Any] = {"exit_status": outcome.exit_status, **(imported or {})}
        if replayed:
            refused = [{"path": path, "reason": reason} for path, reason in replayed.refused]
            report["replay"] = asdict(replayed) | {"archive": archive_uri, "refused": refused}
        output.print_json(json.dumps(report | build_report(outcome.built), default=str))
        return outcome.exit_status
    if replayed:
        say(
            f"Replayed {archive_uri}: {counted(replayed.found, 'batch')} found, {replayed.loaded:,} loaded"
            f" ({counted(replayed.rows, 'row')}), {len(replayed.refused)} refused."
        )
    for sentence in outcome.shortfalls:
        say(f"  {sentence}", style="red")
    say_build(outcome.built)
    return outcome.exit_status


def build_report(built: "Build | None") -> dict[str, Any]:
    """A build for JSON; empty if none ran."""
    if built is None:
        return {}
    return {"build": asdict(built) | {"failed": [{"node": node, "reason": reason} for node, reason in built.failed]}}


def say_build(built: "Build | None") -> None:
    """Print what dbt built, and what failed."""
    if built is None:
        return
    say(built_line(built))
    for node, reason in built.failed:
        say(f"  {node}: {reason}", style="red")


def built_line(built: "Build") -> str:
    """What dbt built, in a sentence."""
    if not built.passed and not built.failed:
        return "Nothing to build: no batch came since the last build, and no model or seed has changed."
    since = f"from {built.window_start}" if built.window_start else "everything"
    failed = f", {len(built.failed)} did not" if built.failed else ""
    return (
        f"Built {since}: {built.passed} models and tests passed{failed}; {counted(built.merged_batches, 'new batch')}."
    )
