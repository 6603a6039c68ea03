"""The report of an import, for a person and for a program."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from extract.errors import ConfigurationError, PipelineError
from extract.files.outcome import HERE, REFUSED, TAKEN, FileReport, row_count
from extract.files.text import UnreadRow
from extract.words import counted

type _Say = Callable[[str, str | None], None]

# This many records of one file are listed; the rest are counted, and `--json` lists all.
_ROWS_SHOWN = 10

# With more files than this, the taken ones are summed up; this many of the refused or odd ones are named.
_FILES_SHOWN = 20


def import_refusal(files: Sequence[FileReport]) -> Exception | None:
    """The error to raise if every file was refused: one of usage if the command line is wrong for all; else None."""
    if any(file.outcome != REFUSED for file in files):
        return None
    reason = "; ".join(sentence for file in files[:_ROWS_SHOWN] for sentence in file.shortfalls)
    if len(files) > _ROWS_SHOWN:
        reason += f"; and {len(files) - _ROWS_SHOWN} more files"
    return ConfigurationError(reason) if all(file.is_usage for file in files) else PipelineError(reason)


def import_report(files: Sequence[FileReport]) -> dict[str, Any]:
    """Each file with its result, for JSON."""
    return {"files": [asdict(file) for file in files]}


def shortfalls(files: Sequence[FileReport]) -> list[str]:
    """What was not taken or is odd, a sentence each; if they are very many, the rest are counted."""
    sentences = [sentence for file in files for sentence in file.shortfalls]
    if len(sentences) <= _FILES_SHOWN:
        return sentences
    return [*sentences[:_FILES_SHOWN], f"{len(sentences) - _FILES_SHOWN} more of the files; --json lists all"]


def say_import(files: Sequence[FileReport], say: _Say, *, is_dry: bool = False) -> None:
    """Print the result of each file, and each record that was not taken; for many files, the sums."""
    if len(files) > _FILES_SHOWN:
        _say_sums(files, say, is_dry=is_dry)
    else:
        for file in files:
            _say_file(file, say, is_dry=is_dry)
    counts = Counter(file.outcome for file in files)
    rows = sum(file.row_count for file in files if file.outcome == TAKEN)
    say(
        f"{counted(len(files), 'file')}: {counts[TAKEN]:,} {'would be ' if is_dry else ''}taken"
        f" ({counted(rows, 'record')}),"
        f" {counts[HERE]:,} already here, {counts[REFUSED]:,} refused.",
        None,
    )


def _say_file(file: FileReport, say: _Say, *, is_dry: bool) -> None:
    if file.outcome == TAKEN:
        days = f", {file.first_date} to {file.last_date}" if file.first_date != file.last_date else ""
        verb = "would be taken" if is_dry else "taken"
        say(f"{file.name}: {verb}: {counted(file.row_count, 'record')} of {file.kind} as of {file.as_of}{days}.", None)
    else:
        say(f"{file.name}: {file.outcome}: {file.reason}.", "red" if file.outcome == REFUSED else None)
    for remark in file.remarks:
        say(f"  odd: it {remark}", "red")
    _say_rows(file.refused, "refused", "red", say)
    _say_rows(file.left_out, "left out", None, say)


def _say_sums(files: Sequence[FileReport], say: _Say, *, is_dry: bool) -> None:
    """Print the result of many files: counts of those taken, by kind and year, and the names of those to look at."""
    verb = "would be taken" if is_dry else "taken"
    for kind in sorted({file.kind for file in files if file.outcome == TAKEN and file.kind}):
        taken = [file for file in files if file.outcome == TAKEN and file.kind == kind]
        years = sorted(file.as_of.year for file in taken if file.as_of)
        span = f"{years[0]} to {years[-1]}" if years[0] != years[-1] else f"{years[0]}"
        rows = sum(file.row_count for file in taken)
        left_out = sum(row_count(file.left_out) for file in taken)
        told = f", {counted(left_out, 'record')} left out" if left_out else ""
        say(f"{kind}, {span}: {counted(len(taken), 'file')} {verb} ({counted(rows, 'record')}{told}).", None)
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
