"""What an import tells a person, and a program, of the files that it was given."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from extract.errors import ConfigurationError, PipelineError
from extract.files.read import UnreadRow
from extract.files.take import HERE, REFUSED, TAKEN, FileReport

type _Say = Callable[[str, str | None], None]

# More of one file are counted, and `--json` lists them.
_ROWS_SHOWN = 10


def import_refusal(files: Sequence[FileReport]) -> Exception | None:
    """What to raise where every file was refused: a wrong argument, where all of them are of that sort."""
    if any(file.outcome != REFUSED for file in files):
        return None
    reason = "; ".join(sentence for file in files[:_ROWS_SHOWN] for sentence in file.shortfalls)
    if len(files) > _ROWS_SHOWN:
        reason += f"; and {len(files) - _ROWS_SHOWN} more files"
    return ConfigurationError(reason) if all(file.is_usage for file in files) else PipelineError(reason)


def import_report(files: Sequence[FileReport]) -> dict[str, Any]:
    """Each file with what became of it, for JSON."""
    return {"files": [asdict(file) for file in files]}


def say_import(files: Sequence[FileReport], say: _Say, *, is_dry: bool = False) -> None:
    """Tell of each file what became of it, and of each record that was not taken."""
    for file in files:
        if file.outcome == TAKEN:
            days = f", {file.first_date} to {file.last_date}" if file.first_date else ""
            verb = "would be taken" if is_dry else "taken"
            say(f"{file.name}: {verb}: {file.row_count:,} records of {file.kind} as of {file.as_of}{days}.", None)
        else:
            say(f"{file.name}: {file.outcome}: {file.reason}.", "red" if file.outcome == REFUSED else None)
        _say_rows(file.refused, "refused", "red", say)
        _say_rows(file.left_out, "left out", None, say)
    counts = Counter(file.outcome for file in files)
    rows = sum(file.row_count for file in files if file.outcome == TAKEN)
    say(
        f"{len(files)} files: {counts[TAKEN]} {'would be ' if is_dry else ''}taken ({rows:,} records),"
        f" {counts[HERE]} already here, {counts[REFUSED]} refused.",
        None,
    )


def _say_rows(rows: Sequence[UnreadRow], outcome: str, style: str | None, say: _Say) -> None:
    for row in rows[:_ROWS_SHOWN]:
        say(f"  {outcome}: {row}", style)
    if len(rows) > _ROWS_SHOWN:
        say(f"  {outcome}: {len(rows) - _ROWS_SHOWN} more; --json lists all", style)
