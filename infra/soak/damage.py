"""What may damage a file that a person has downloaded."""

import csv
import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from extract.landing.raw import NSE_DAILY_BARS
from infra.soak.download_rows import CHARSETS, Row, held_rows


@dataclass(frozen=True, slots=True)
class Original:
    """An undamaged file.

    Attributes:
        name: its name.
        table: where its rows go.
        body: its bytes.
        rows: its rows, as in the archive.
    """

    name: str
    table: str
    body: bytes
    rows: frozenset[Row]


@dataclass(frozen=True, slots=True)
class Changed:
    """A damaged file.

    Attributes:
        body: its bytes, before any zip.
        sent: its bytes on the disk, zipped or not.
        is_whole: it must be taken with all rows of the original.
        kept: rows of the original that must be taken, whatever happens to the others.
        is_cut: it ends early; the import must report that, unless it was cut at the end of a line.
    """

    body: bytes
    sent: bytes
    is_whole: bool = False
    kept: frozenset[Row] = frozenset()
    is_cut: bool = False


def _plain(body: bytes, **promised: Any) -> Changed:
    return Changed(body, body, **promised)


def _cut(original: Original, drawn: random.Random) -> Changed:
    place = drawn.randrange(len(original.body))
    body = original.body[:place]
    # Only for the record does a line end at the end show that the file is whole.
    is_seen = original.table == NSE_DAILY_BARS.name and original.body[place - 1 : place + 1].find(b"\n") < 0
    return _plain(body, is_cut=is_seen)


def _byte(original: Original, drawn: random.Random) -> Changed:
    """Change one byte. If it is within a line of the record, only that line may be lost."""
    body, place, value = original.body, drawn.randrange(len(original.body)), drawn.randrange(256)
    changed = body[:place] + bytes([value]) + body[place + 1 :]
    lines = body.count(b"\n", 0, place)
    if (
        original.table != NSE_DAILY_BARS.name
        or not 0 < lines < body.count(b"\n") - 1
        or {value, body[place]} & set(b'\n\r,"')
        or not 32 <= value < 127
    ):
        return _plain(changed)
    touched = held_rows(b"\n".join([body.split(b"\n")[0], body.split(b"\n")[lines], b""]), original.table)
    # The line may now name another share of the file, which then occurs twice.
    shown = held_rows(b"\n".join([changed.split(b"\n")[0], changed.split(b"\n")[lines], b""]), original.table)
    twice = {row[:2] for row in shown}
    return _plain(changed, kept=frozenset(row for row in original.rows - touched if row[:2] not in twice))


def _some_bytes(original: Original, drawn: random.Random) -> Changed:
    body = bytearray(original.body)
    for _ in range(drawn.randrange(2, 40)):
        body[drawn.randrange(len(body))] = drawn.randrange(256)
    return _plain(bytes(body))


def _moved(original: Original, drawn: random.Random) -> Changed:
    first, second = sorted(drawn.sample(range(len(original.body)), 2))
    body = original.body
    return _plain(body[second:] + body[first:second] + body[:first])


def _columns(original: Original, drawn: random.Random) -> Changed:
    """Swap two columns, with their headings or without."""
    if original.name.endswith(".json"):
        return _plain(original.body, is_whole=True)
    rows = list(csv.reader(io.StringIO(original.body.decode(), newline="")))
    first, second = drawn.sample(range(len(rows[0])), 2)
    with_headings = drawn.random() < 0.5
    for row in rows if with_headings else rows[:1]:
        row[first], row[second] = row[second], row[first]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return _plain(text.getvalue().encode(), is_whole=with_headings)


def _doubled(original: Original, drawn: random.Random) -> Changed:
    """Repeat some lines, or all."""
    head, *lines = original.body.splitlines(keepends=True)
    if original.name.endswith(".json"):
        return _plain(original.body, is_whole=True)
    again = drawn.sample(lines, drawn.randrange(1, len(lines) + 1))
    return _plain(head + b"".join(lines + again), is_whole=True)


def _in_charset(original: Original, drawn: random.Random) -> Changed:
    return _plain(original.body.decode().encode(drawn.choice(CHARSETS)), is_whole=True)


def _marked(original: Original, drawn: random.Random) -> Changed:
    mark = drawn.choice((b"\xff\xfe", b"\xfe\xff", b"\x00", b"<html>", b"\xef\xbb\xbf\xef\xbb\xbf", b"PK\x03\x04"))
    return _plain(mark + original.body)


def _huge(original: Original, drawn: random.Random) -> Changed:
    cells = original.body.split(b",")
    cells[drawn.randrange(len(cells))] = drawn.choice((b"9", b"x", b'"', b" ", b"0.")) * drawn.choice((500, 200_000))
    return _plain(b",".join(cells))


def _odd(original: Original, drawn: random.Random) -> Changed:
    """Change one cell."""
    cells = original.body.split(b",")
    odd = drawn.choice(
        (b"", b"-", b"inf", b"nan", b"-1", b"0", b"1e400", b"0x10", b"1_0", b"null", "१२".encode(), b'"')
    )
    cells[drawn.randrange(len(cells))] = odd
    return _plain(b",".join(cells))


def _within_a_zip(original: Original, drawn: random.Random) -> Changed:
    """A damaged file in a zip; the whole file in a damaged zip; a file within several zips; or a zip bomb."""
    choice = drawn.random()
    if choice < 0.01:
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as whole:
            whole.writestr(original.name, original.body + bytes(2**26))
        return Changed(original.body, bomb.getvalue())
    inner = drawn.choice((_byte, _cut, _doubled, _odd))(original, drawn) if choice < 0.6 else _plain(original.body)
    sent = _zip(original.name, inner.body)
    if choice < 0.6:
        return Changed(inner.body, sent, inner.is_whole, inner.kept, inner.is_cut)
    if choice < 0.9:
        return Changed(inner.body, _some_bytes(Original("", "", sent, frozenset()), drawn).body)
    depth = drawn.randrange(1, 5)
    for _ in range(depth):
        sent = _zip("within.zip", sent)
    return Changed(inner.body, sent, is_whole=depth < 3)


def _zip(name: str, body: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr(name, body)
    return made.getvalue()


CHANGES: tuple[Callable[[Original, random.Random], Changed], ...] = (
    _cut,
    _byte,
    _byte,
    _byte,
    _some_bytes,
    _moved,
    _columns,
    _doubled,
    _in_charset,
    _marked,
    _huge,
    _odd,
    _odd,
    _within_a_zip,
    _within_a_zip,
)
