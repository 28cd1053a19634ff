"""The thread that thins while `auditfuse run` goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pipeline import metrics
from pipeline.audit.erase.reach import Copies
from pipeline.audit.erase.run import Eraser
from pipeline.audit.erase.thinning import HOUR_MS, Thinning
from pipeline.errors import AuditfuseError
from pipeline.repeated import Repeated

if TYPE_CHECKING:
    from pipeline.audit.store import Store
    from pipeline.clock import NowMs
    from pipeline.config import Config
    from pipeline.keys import Keys
    from pipeline.respond.state import StateDatabase

log = structlog.get_logger()


def new_thinning(config: Config, store: Store, keys: Keys, state: StateDatabase, now_ms: NowMs) -> Thinning:
    """What thins as the configuration says."""
    copies = Copies(store, config, now_ms=now_ms)
    eraser = Eraser(store, keys, copies, now_ms=now_ms, grace_s=config.erasure.grace_s)
    return Thinning(store, eraser, config.thinning, keys, state, now_ms=now_ms)


class ThinningRunner(Repeated):
    """Thins at the start and then at the configured interval; what a stop leaves half done, the next pass
    finishes."""

    def __init__(self, config: Config, store: Store, keys: Keys, state: StateDatabase, now_ms: NowMs) -> None:
        super().__init__("thinning", config.thinning.every_hours * HOUR_MS / 1000, at_start=True)
        self._parts = (config, store, keys, state, now_ms)
        self._thinning: Thinning | None = None

    def work(self) -> None:
        """One pass."""
        try:
            self._thinning = self._thinning or new_thinning(*self._parts)
            done = self._thinning.apply()
        except (AuditfuseError, OSError) as error:
            reason = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
            log.error("thinning failed, will be tried again", reason=reason)
            return
        if done.payloads:
            metrics.thinned_payloads.inc(done.payloads)
            log.info("thinned", payloads=done.payloads, bytes=done.payload_bytes, erasures=done.erasures)
