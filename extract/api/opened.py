"""The warehouse of a server: opened when it is first needed, and again after it has died."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from extract.api.turns import Turns
from extract.settings import Settings
from extract.warehouse.connection import Warehouse, open_warehouse

# Cloud Run ends a request after a minute.
_STATEMENT_SECONDS = 50.0


class OpenedWarehouse:
    """Returns the warehouse, to several threads at once; as a context manager, it closes the warehouse."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._opening = Turns()
        self._leave = ExitStack()
        self._warehouse: Warehouse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave.close()

    def __call__(self) -> Warehouse:
        """The warehouse, running.

        Raises:
            ConfigurationError: see ``open_warehouse``.
            PipelineError: see ``open_warehouse``.
        """
        with self._opening.taken():
            if self._warehouse is not None and not self._is_running(self._warehouse):
                # Its process has died: another one is started, on the same data.
                self._warehouse = None
                self._leave.close()
            if self._warehouse is None:
                opened = self._leave.enter_context(open_warehouse(self._settings))
                self._warehouse = opened.hurried(_STATEMENT_SECONDS)
            return self._warehouse

    def _is_running(self, warehouse: Warehouse) -> bool:
        if not self._settings.is_embedded:
            return True
        from infra.local import warehouse as embedded

        server = embedded.find(self._settings.warehouse_dir)
        return server is not None and server.address == warehouse.address
