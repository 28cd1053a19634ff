"""Which of several ingest members does what only one should: the partitions' own logs say.

Whoever writes a partition compacts it. Whoever writes the first one that lives looks after what all share.
Two that think so at a time hinder each other for a moment, no more: claims in the logs decide.
"""

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.clock import NowMs
from pipeline.errors import StoreError

LIVES_FOR_MS = 15 * 60_000
"""Three times the longest interval of idle entries."""

Key = tuple[str, int]


class Duty:
    """Of one process. Not safe for use by several threads at once."""

    def __init__(self, store: Store, writer_id: str, now_ms: NowMs) -> None:
        self._store = store
        self._writer_id = writer_id
        self._now_ms = now_ms
        self._logs: dict[Key, PartitionLog] = {}

    def leads(self) -> bool:
        """Whether this process writes the first partition that lives."""
        try:
            for key in self._store.partitions():
                if key[0] not in APPEND_PARTITIONS and self._lives(key):
                    return self._writes(key)
        except (StoreError, OSError):
            pass  # a store that cannot be read now: a later pass will tell
        return False

    def is_ours(self, key: Key) -> bool:
        """Whether this process compacts a partition."""
        if key[0] in APPEND_PARTITIONS or not self._lives(key):
            return self.leads()
        return self._writes(key)

    def _writes(self, key: Key) -> bool:
        return self._logs[key].state.writer == self._writer_id

    def _lives(self, key: Key) -> bool:
        log = self._logs.setdefault(key, PartitionLog(self._store, *key))
        last_ms = log.refresh().last_ms
        return last_ms >= self._now_ms() - LIVES_FOR_MS
