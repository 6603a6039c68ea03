"""Statements that were translated before, in a file that all servers of an environment share.

local-bigquery translates each statement from GoogleSQL into DuckDB's SQL by walks through its tree, which takes a third
of its time; and a build sends the statements of the one before it. A translation depends on the statement, on the
tables and views that the statement may read, and on the code that translates. So it is kept under a digest of these
three. Not kept is what has parameters or variables, what asks for tables by a pattern, and what asks of the catalogue.
Row access policies, tables that expire and those that require a filter are not looked at again where a translation is
found; we make none.
"""

import hashlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_bigquery.sql.translate import Context
    from sqlglot import exp

# A full build and the builds after it send some 600 different statements; one takes 2 kB.
KEPT = 20_000

# A translation of these depends on more than we look at.
_NEVER_KEPT = re.compile(r"@|\*`|information_schema", re.IGNORECASE)

# What local-bigquery writes beside the tree of a statement, and its text does not have.
_MARKS = ("snapshot", "table_function")

type Translate = Callable[["exp.Expression", "Context"], tuple[str, dict[str, Any]]]


class Translations:
    """The file, opened."""

    def __init__(self, path: Path, code: str) -> None:
        """Open or make it. What cannot be used, or is none, is left alone, and nothing is kept beyond this process.

        Args:
            path: the file.
            code: names the version of all that translates.
        """
        self._code = code
        self._lock = threading.Lock()
        try:
            self._file = _opened(str(path))
        except sqlite3.Error:
            self._file = _opened(":memory:")

    def kept(self, translate: Translate, reads: Callable[[str, str], Hashable]) -> Translate:
        """The function that looks here first, and notes here what it had to translate.

        Args:
            translate: local-bigquery's own.
            reads: what is known of the tables and views whose names stand in a text, in a project.
        """
        from local_bigquery.sql.dialect import BigQueryDialect

        @wraps(translate)
        def wrapped(tree: "exp.Expression", context: "Context") -> tuple[str, dict[str, Any]]:
            text = tree.sql(dialect=BigQueryDialect, comments=False)
            if _NEVER_KEPT.search(text) or any(
                (context.parameters, context.values, context.variables, context.functions, context.settings)
            ):
                return translate(tree, context)
            place = (context.project_id, context.dataset_id, sorted(context.temporary), *map(tree.meta.get, _MARKS))
            depends_on = (self._code, text, place, reads(context.project_id, text))
            key = hashlib.sha256(repr(depends_on).encode()).hexdigest()
            if found := self._find(key):
                translation, referenced, temporary = found
                context.used.clear()
                context.referenced.update(map(tuple, referenced))
                context.temporary.update(temporary)
                return translation, {}
            outside, context.referenced = context.referenced, set()
            try:
                translation, bound = translate(tree, context)
                if not bound:
                    self._note(key, [translation, sorted(context.referenced), sorted(context.temporary)])
            finally:
                outside |= context.referenced
                context.referenced = outside
            return translation, bound

        return wrapped

    def _find(self, key: str) -> list[Any] | None:
        # A disk that is full, or another server that writes for seconds, costs a translation and nothing else.
        with self._lock, suppress(sqlite3.Error):
            row = self._file.execute("select translation from translations where key = ?", [key]).fetchone()
            return json.loads(row[0]) if row else None
        return None

    def _note(self, key: str, translation: list[Any]) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._file.execute("insert or ignore into translations values (?, ?)", [key, json.dumps(translation)])


def _opened(path: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    # A process that is killed leaves the file whole; what a machine's crash loses is translated again.
    file.execute("pragma journal_mode = wal")
    file.execute("pragma synchronous = off")
    file.execute("create table if not exists translations (key text primary key, translation text)")
    file.execute("delete from translations where rowid <= (select max(rowid) from translations) - ?", [KEPT])
    return file
