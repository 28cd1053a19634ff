"""The thread that keeps the catalog fresh while `auditfuse run` goes on."""

import logging
import threading

from pipeline.audit.catalog import MIN_INTERVAL_MS, Catalog
from pipeline.audit.store import Store
from pipeline.errors import StoreError

_log = logging.getLogger(__name__)


class CatalogRunner:
    """Keeps the catalog fresh in a thread of its own while `auditfuse run` goes on."""

    def __init__(self, store: Store, *, interval_ms: int = MIN_INTERVAL_MS) -> None:
        self._catalog = Catalog(store)
        self._interval_s = max(interval_ms, MIN_INTERVAL_MS) / 1000
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)

    def start(self) -> None:
        """Begin to build."""
        self._thread.start()

    def stop(self) -> None:
        """Build once more, so that the catalog shows all that was sealed, and end. Waits for both."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._refresh()
        self._refresh(at_once=True)

    def _refresh(self, *, at_once: bool = False) -> None:
        import duckdb

        try:
            self._catalog.refresh(at_once=at_once)
        except (StoreError, OSError) as error:
            _log.warning("the catalog could not be refreshed: %s", error)
        except duckdb.Error as error:
            # DuckDB's texts may quote a value: only its kind is told. The trail itself is not at risk.
            _log.warning("the catalog could not be refreshed: %s", type(error).__name__)
