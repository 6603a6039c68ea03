"""Open the files, folders and zips that a person names, and yield the files within, one at a time."""

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from extract.words import encodable

# The limit for a file, as a zip can claim any size. A year of the exchange's files of one kind has less than a tenth.
_FILE_BYTES = 64 * 2**20
_ZIP_BYTES = 4 * 2**30
_ZIP_DEPTH = 3

# Files that operating systems leave in folders and zips.
_CLUTTER = ("thumbs.db", "desktop.ini", "__macosx")

# What Python raises for a damaged zip.
_TORN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
    struct.error,
    # An unknown version of the format.
    NotImplementedError,
)

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


class FileRefused(Exception):
    """A file that cannot be taken; the text says why, after the file's name, and what to do.

    Attributes:
        is_usage: the command line is wrong, and not the file's content.
    """

    def __init__(self, reason: str, *, is_usage: bool = False) -> None:
        super().__init__(reason)
        self.is_usage = is_usage


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """One file, or why it cannot be read.

    Attributes:
        name: the name for messages: its path, or the zip's path and the path within.
        kept_name: the same without the folders of this machine.
        body: its bytes; empty if it is refused.
        refusal: why it cannot be read; None if it can.
    """

    name: str
    kept_name: str
    body: bytes = b""
    refusal: FileRefused | None = None


def listed(paths: Sequence[Path]) -> list[Path]:
    """The files of these paths in order; of a folder, all files below it, sorted, links followed.

    A path that does not exist, or cannot be entered, stays in the list: ``opened`` refuses it.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        found: list[Path] = []
        seen: set[str] = set()

        def unreadable(error: OSError, found: list[Path] = found) -> None:
            found.append(Path(error.filename))

        for folder, folders, names in os.walk(path, followlinks=True, onerror=unreadable):
            # A link may lead back to a folder above it.
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = [name for name in folders if not _is_clutter(name)]
            found += [Path(folder, name) for name in names if not _is_clutter(name)]
        files += sorted(found) or [path]
    return files


def opened(path: Path) -> Iterator[OpenedFile]:
    """The file of a path, or the files of a zip, recognized by content; each is read when the iterator reaches it."""
    # A name on a disk may have bytes that are not UTF-8.
    names = (encodable(str(path)), encodable(path.name))
    try:
        if path.is_dir():
            # A folder is only in the list if it is empty or could not be entered; the latter raises here.
            any(path.iterdir())
            yield _refused(names, "is a folder without files", is_usage=True)
        elif path.exists() and not path.is_file():
            yield _refused(names, "is neither a file nor a folder", is_usage=True)
        else:
            with path.open("rb") as file:
                if file.read(4).startswith(_ZIP_STARTS):
                    yield from _of_zip(file, names, 1, _Budget(_ZIP_BYTES))
                else:
                    file.seek(0)
                    yield OpenedFile(*names, _bounded(file))
    except OSError as error:
        yield _refused(names, f"cannot be read: {_words(error)}", is_usage=True)
    except FileRefused as refusal:
        yield OpenedFile(*names, refusal=refusal)


def _refused(names: tuple[str, str], reason: str, *, is_usage: bool = False) -> OpenedFile:
    return OpenedFile(*names, refusal=FileRefused(reason, is_usage=is_usage))


@dataclass(slots=True)
class _Budget:
    """How many bytes may still be unpacked from a zip."""

    left: int


# It refuses each fault where it meets it.
def _of_zip(file: IO[bytes], names: tuple[str, str], depth: int, budget: _Budget) -> Iterator[OpenedFile]:  # noqa: C901
    if depth > _ZIP_DEPTH:
        yield _refused(names, f"is a zip within {_ZIP_DEPTH} zips; unpack it")
        return
    try:
        whole = zipfile.ZipFile(file)
    except _TORN as error:
        yield _refused(names, f"is a damaged zip; download it again ({_words(error)})")
        return
    with whole:
        if "[Content_Types].xml" in whole.namelist():
            yield _refused(names, "is an Excel workbook; save it as CSV, and import that")
            return
        members = [
            member
            for member in sorted(whole.infolist(), key=lambda member: member.filename)
            if not member.is_dir() and not any(_is_clutter(part) for part in Path(member.filename).parts)
        ]
        if not members:
            yield _refused(names, "is a zip without files")
        for member in members:
            within = (f"{names[0]}: {member.filename}", f"{names[1]}: {member.filename}")
            try:
                with whole.open(member) as stream:
                    body = _bounded(stream, budget)
            except FileRefused as refusal:
                yield OpenedFile(*within, refusal=refusal)
            except _TORN as error:
                yield _refused(within, f"is damaged; download the zip again ({_words(error)})")
            except RuntimeError as error:
                # Python raises this for a password, and for an unknown compression.
                yield _refused(within, f"cannot be unpacked; unpack it yourself ({error})")
            else:
                if body.startswith(_ZIP_STARTS):
                    yield from _of_zip(BytesIO(body), within, depth + 1, budget)
                else:
                    yield OpenedFile(*within, body)


def _bounded(file: IO[bytes], budget: _Budget | None = None) -> bytes:
    body = file.read(_FILE_BYTES + 1)
    if budget:
        budget.left -= len(body)
    if len(body) > _FILE_BYTES or (budget and budget.left < 0):
        limit = _FILE_BYTES if len(body) > _FILE_BYTES else _ZIP_BYTES
        raise FileRefused(f"is larger than any file of the exchange: more than {limit // 2**20} MB")
    return body


def _is_clutter(name: str) -> bool:
    return (name.startswith((".", "~$")) and name != "..") or name.lower() in _CLUTTER


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
