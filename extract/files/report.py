"""What an import tells a person, and a program, of the files that it was given."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from extract.errors import ConfigurationError, PipelineError
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport, row_count
from extract.files.text import UnreadRow

type _Say = Callable[[str, str | None], None]

# More of one file are counted, and `--json` lists them.
_ROWS_SHOWN = 10

# Of more files, what was taken is told in sums; and so many of those that were refused, or are odd, by name.
_FILES_SHOWN = 20


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


def shortfalls(files: Sequence[FileReport]) -> list[str]:
    """What was not taken or is odd, a sentence each; of very many, how many more there are."""
    sentences = [sentence for file in files for sentence in file.shortfalls]
    if len(sentences) <= _FILES_SHOWN:
        return sentences
    return [*sentences[:_FILES_SHOWN], f"{len(sentences) - _FILES_SHOWN} more of the files; --json lists all"]


def say_import(files: Sequence[FileReport], say: _Say, *, is_dry: bool = False) -> None:
    """Tell of each file what became of it, and of each record that was not taken; of many files, the sums."""
    if len(files) > _FILES_SHOWN:
        _say_sums(files, say, is_dry=is_dry)
    else:
        for file in files:
            _say_file(file, say, is_dry=is_dry)
    counts = Counter(file.outcome for file in files)
    rows = sum(file.row_count for file in files if file.outcome == TAKEN)
    say(
        f"{len(files):,} files: {counts[TAKEN]:,} {'would be ' if is_dry else ''}taken ({rows:,} records),"
        f" {counts[HERE]:,} already here, {counts[REFUSED]:,} refused.",
        None,
    )


def _say_file(file: FileReport, say: _Say, *, is_dry: bool) -> None:
    if file.outcome == TAKEN:
        days = f", {file.first_date} to {file.last_date}" if file.first_date != file.last_date else ""
        verb = "would be taken" if is_dry else "taken"
        say(f"{file.name}: {verb}: {file.row_count:,} records of {file.kind} as of {file.as_of}{days}.", None)
    else:
        say(f"{file.name}: {file.outcome}: {file.reason}.", "red" if file.outcome == REFUSED else None)
    for remark in file.remarks:
        say(f"  odd: it {remark}", "red")
    _say_rows(file.refused, "refused", "red", say)
    _say_rows(file.left_out, "left out", None, say)


def _say_sums(files: Sequence[FileReport], say: _Say, *, is_dry: bool) -> None:
    """What became of many files: those taken by kind and year, and by name those that a person should look at."""
    verb = "would be taken" if is_dry else "taken"
    for kind in sorted({file.kind for file in files if file.outcome == TAKEN and file.kind}):
        taken = [file for file in files if file.outcome == TAKEN and file.kind == kind]
        years = sorted(file.as_of.year for file in taken if file.as_of)
        span = f"{years[0]} to {years[-1]}" if years[0] != years[-1] else f"{years[0]}"
        rows = sum(file.row_count for file in taken)
        left_out = sum(row_count(file.left_out) for file in taken)
        told = f", {left_out:,} records left out" if left_out else ""
        say(f"{kind}, {span}: {len(taken):,} files {verb} ({rows:,} records{told}).", None)
    named = [file for file in files if file.shortfalls]
    for file in named[:_FILES_SHOWN]:
        _say_file(file, say, is_dry=is_dry)
    if len(named) > _FILES_SHOWN:
        say(f"{len(named) - _FILES_SHOWN:,} more files were refused, in whole or in part; --json lists all.", "red")


def _say_rows(rows: Sequence[UnreadRow], outcome: str, style: str | None, say: _Say) -> None:
    for row in rows[:_ROWS_SHOWN]:
        say(f"  {outcome}: {row}", style)
    if len(rows) > _ROWS_SHOWN:
        say(f"  {outcome}: {row_count(rows[_ROWS_SHOWN:]):,} more; --json lists all", style)
