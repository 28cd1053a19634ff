"""What looks after the store beside ingestion: compaction, retention, thinning, the catalog, copies,
checkpoints."""

from pipeline.audit.catalog_runner import CatalogRunner
from pipeline.audit.checkpoint.runner import Checkpoints
from pipeline.audit.compact import Compactor
from pipeline.audit.erase.reach import Copies
from pipeline.audit.erase.retention import Retention, RetentionRunner
from pipeline.audit.erase.run import Eraser
from pipeline.audit.erase.thin_runner import ThinningRunner
from pipeline.audit.readers.trail import ReadersRunner
from pipeline.repeated import Repeated
from pipeline.roles.duty import Duty
from pipeline.roles.parts import Parts


class Maintenance:
    """Threads of one process. Where several ingest, one of them does what only one should."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        config = parts.config
        self.checkpoints = Checkpoints(
            parts.store, config.checkpoint, config.keys.path, config.kafka, now_ms=parts.now_ms
        )
        """Stopped by whoever runs, after the kill switch has sealed its last command."""
        self._runners: list[Repeated] = []

    def start(self) -> None:
        """Start all threads."""
        self._runners = self._new_runners()
        for runner in self._runners:
            runner.start()
        self.checkpoints.start()

    def close(self) -> None:
        """Stop all but the checkpoints; the catalog's last build shows all that was sealed."""
        for runner in self._runners:
            runner.stop()

    def _new_runners(self) -> list[Repeated]:
        parts, config = self._parts, self._parts.config
        compactor = Compactor(parts.store, config.store, writer_id=parts.writer_id, now_ms=parts.now_ms)
        runners: list[Repeated] = [self._new_retention()]
        if config.thinning.rules:
            runners.append(ThinningRunner(config, parts.store, parts.keys, parts.state, parts.now_ms))
        if parts.readers is not None:
            runners.insert(0, ReadersRunner(parts.readers, config.readers.interval_s))
        if not parts.is_alone:
            compactor.is_ours = self._new_duty().is_ours
            for runner in runners:
                runner.may_work = self._new_duty().leads
        if parts.store.is_local or parts.readers:
            runners.insert(0, CatalogRunner(parts.store))
        return [compactor, *runners]

    def _new_duty(self) -> Duty:
        """One for each thread."""
        return Duty(self._parts.store, self._parts.writer_id, self._parts.now_ms)

    def _new_retention(self) -> RetentionRunner:
        """What applies the retention rules."""
        parts, config = self._parts, self._parts.config
        copies = Copies(parts.store, config, now_ms=parts.now_ms)
        grace_s = config.erasure.grace_s
        eraser = Eraser(parts.store, parts.keys, copies, now_ms=parts.now_ms, grace_s=grace_s)
        retention = Retention(eraser, config.retention, now_ms=parts.now_ms)
        return RetentionRunner(retention, config.erasure.retention_interval_s)
