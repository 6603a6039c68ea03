"""A cache of translated statements, in a file that all servers of an environment share.

local-bigquery translates each statement from GoogleSQL into DuckDB's SQL by walks through its tree, which takes a third
of its time; and a build sends the same statements as the build before it. A translation depends on the statement, on
the tables and views that the statement may read, and on the code that translates. So it is kept under a digest of these
three. Statements with parameters or variables, with a pattern of tables, or about the catalogue are not kept. When a
kept translation is used, row access policies, the expiry of tables and required filters are not checked again; we have
none of them.
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

# Statements whose translation depends on more than the digest covers.
_NEVER_KEPT = re.compile(r"@|\*`|information_schema", re.IGNORECASE)

# Attributes that local-bigquery adds to the tree of a statement, and that its text does not show.
_MARKS = ("snapshot", "table_function")

type Translate = Callable[["exp.Expression", "Context"], tuple[str, dict[str, Any]]]


class Translations:
    """The open cache."""

    def __init__(self, path: Path, code: str) -> None:
        """Open or create the file. If it cannot be used, it is left alone, and translations are kept in memory only.

        Args:
            path: the file.
            code: identifies the version of all code that translates.
        """
        self._code = code
        self._lock = threading.Lock()
        try:
            self._file = _opened(str(path))
        except sqlite3.Error:
            self._file = _opened(":memory:")

    def kept(self, translate: Translate, reads: Callable[[str, str], Hashable]) -> Translate:
        """A function that looks into the cache first, and adds what it had to translate.

        Args:
            translate: local-bigquery's own function.
            reads: returns what is known about the tables and views whose names occur in a text, in a project.
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
        # If the disk is full, or another server writes for seconds, only this entry of the cache is lost.
        with self._lock, suppress(sqlite3.Error):
            row = self._file.execute("select translation from translations where key = ?", [key]).fetchone()
            return json.loads(row[0]) if row else None
        return None

    def _note(self, key: str, translation: list[Any]) -> None:
        with self._lock, suppress(sqlite3.Error):
            self._file.execute("insert or ignore into translations values (?, ?)", [key, json.dumps(translation)])


def _opened(path: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    # If a process is killed, the file stays intact; what is lost in a crash of the machine is translated again.
    file.execute("pragma journal_mode = wal")
    file.execute("pragma synchronous = off")
    file.execute("create table if not exists translations (key text primary key, translation text)")
    file.execute("delete from translations where rowid <= (select max(rowid) from translations) - ?", [KEPT])
    return file
