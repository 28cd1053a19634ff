"""Snapshots of a shard, in the store: whichever host takes the shard next finds them.

What is in a store is never overwritten, so every snapshot has a name of its own; the ones before it go.
"""

import contextlib
import re

from pipeline.audit.store import Store
from pipeline.clock import NowMs, system_now_ms
from pipeline.detect.snapshots import Folder
from pipeline.signals_topic.shard import Shard, all_shards

FOLDER = "snapshots/shards"
_SAVED = re.compile(r"(.+\.bin)\.(\d+)")


def folders_of_agents(store: Store, shards: int) -> list[Folder]:
    """Those of the shards that share the agents."""
    return [StoreFolder(store, one, system_now_ms) for one in all_shards(shards) if not one.is_fleet]


def drop_all(store: Store) -> int:
    """Remove the snapshots of all shards, of every number of them; returns how many there were."""
    folders = [f"{FOLDER}/{name}" for name in store.objects.names(FOLDER)]
    keys = [f"{folder}/{name}" for folder in folders for name in store.objects.names(folder)]
    for key in keys:
        store.objects.delete(key)
    return len(keys)


class StoreFolder:
    """As `Folder`: the folder of one shard."""

    def __init__(self, store: Store, shard: Shard, now_ms: NowMs) -> None:
        self._objects = store.objects
        self._prefix = f"{FOLDER}/{shard.number}-of-{shard.of}"
        self._now_ms = now_ms

    def names(self) -> list[str]:
        """Each once, however often it was saved."""
        return sorted({name for name, _ in self._saved()})

    def read(self, name: str) -> bytes:
        """The newest of that name."""
        return self._objects.read(f"{self._prefix}/{name}.{int(self.saved_ms(name))}")

    def write(self, name: str, content: bytes) -> None:
        """Then the ones before it go."""
        before = [saved for saved in self._saved() if saved[0] == name]
        at_ms = max([self._now_ms(), *(saved_ms + 1 for _, saved_ms in before)])
        self._objects.create(f"{self._prefix}/{name}.{at_ms}", content)
        self._delete(before)

    def saved_ms(self, name: str) -> float:
        """When the newest of that name was saved."""
        times = [saved_ms for saved, saved_ms in self._saved() if saved == name]
        if not times:
            raise FileNotFoundError(name)
        return max(times)

    def remove(self, name: str) -> None:
        """All of that name."""
        self._delete([saved for saved in self._saved() if saved[0] == name])

    def _saved(self) -> list[tuple[str, int]]:
        found = [_SAVED.fullmatch(name) for name in self._objects.names(self._prefix)]
        return [(match[1], int(match[2])) for match in found if match]

    def _delete(self, saved: list[tuple[str, int]]) -> None:
        for name, saved_ms in saved:
            with contextlib.suppress(PermissionError):  # a storage that keeps everything: it is never read
                self._objects.delete(f"{self._prefix}/{name}.{saved_ms}")
