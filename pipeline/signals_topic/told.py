"""What the signals topic told of log entries, so that a shard looks for them in the store only now and then.

Every entry of a log holds the hash of the one before: what was told is folded like what was read.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from pipeline.audit.store import Store

MAX_ENTRIES = 16_384

Key = tuple[str, int]
"""(topic id, partition)."""


class ToldStore(Store):
    """A store whose newest log entries are at hand: as they were told, or read before. Thread-safe."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.cache_dir, store.objects, cache_max_bytes=store.cache_max_bytes)
        self._entries: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def tell(self, topic_id: str, partition: int, n: int, content: bytes) -> None:
        """An entry that is in the store. The first word counts: entries never change."""
        with self._lock:
            self._entries.setdefault((topic_id, partition, n), content)
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)

    def read_entry(self, topic_id: str, partition: int, n: int) -> bytes | None:
        """As the store, which is asked only for what is not at hand."""
        content = self._entries.get((topic_id, partition, n))
        if content is None:
            content = super().read_entry(topic_id, partition, n)
            if content is not None:
                self.tell(topic_id, partition, n, content)
        return content


class Told:
    """How far the topic's messages went, for one shard. Thread-safe."""

    def __init__(self, sweep_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        """`sweep_s`: what it did not tell is looked for so often all the same."""
        self._sweep_s = sweep_s
        self._now_s = now_s
        self._newest: dict[Key, int] = {}
        self._looked_s: dict[Key, float] = {}

    def tell(self, key: Key, n: int) -> None:
        """Entry `n` of a partition is there."""
        self._newest[key] = max(n, self._newest.get(key, -1))

    def is_due(self, key: Key, n: int) -> bool:
        """Whether to look for entry `n` and what follows it."""
        now_s = self._now_s()
        due = self._newest.get(key, -1) >= n
        if not due and now_s - self._looked_s.get(key, -self._sweep_s) < self._sweep_s:
            return False
        self._looked_s[key] = now_s
        return True
