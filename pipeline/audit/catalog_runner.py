"""The thread that keeps the catalog fresh while `auditfuse run` goes on."""

import logging
import time

from pipeline import metrics
from pipeline.audit.catalog import MIN_INTERVAL_MS, Catalog
from pipeline.audit.store import Store
from pipeline.errors import StoreError
from pipeline.repeated import Repeated

PAUSE, SLACK_S = 9, 0.2
"""A build is followed by nine times as long without one: on a busy machine, which builds slowly, it must not
take what ingestion needs. Up to a ninth of a second nothing changes."""
_log = logging.getLogger(__name__)


class CatalogRunner(Repeated):
    """Keeps the catalog fresh while `auditfuse run` goes on; the last build shows all that was sealed."""

    def __init__(self, store: Store, *, interval_ms: int = MIN_INTERVAL_MS) -> None:
        super().__init__("catalog", max(interval_ms, MIN_INTERVAL_MS) / 1000, at_end=True)
        self._catalog = Catalog(store)
        self._due_s = 0.0

    def work(self) -> None:
        """Build the catalog if the logs have grown."""
        import duckdb

        began_s = time.monotonic()
        if began_s < self._due_s and not self.stopping.is_set():
            return
        try:
            self._catalog.refresh(at_once=self.stopping.is_set())
            metrics.catalog_time.set_to_current_time()
        except (StoreError, OSError) as error:
            _log.warning("the catalog could not be refreshed: %s", error)
        except duckdb.Error as error:
            # DuckDB's texts may quote a value: only its kind is told. The trail itself is not at risk.
            _log.warning("the catalog could not be refreshed: %s", type(error).__name__)
        ended_s = time.monotonic()
        self._due_s = ended_s + PAUSE * (ended_s - began_s) - SLACK_S
