"""What the member that responds looks at of the whole fleet: the logs in the store, how far each shard is.

Other members may run anywhere: what they do is seen by what they seal and consume.
"""

import time
from collections.abc import Iterator

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS
from pipeline.own_parts import LAG_S, Lag, lagging, store_faults, switch_faults
from pipeline.respond.own_faults import OwnFault
from pipeline.respond.tables import ALL
from pipeline.roles.duty import LIVES_FOR_MS
from pipeline.roles.parts import Parts
from pipeline.roles.respond import Respond
from pipeline.signals_topic.shard import all_shards

RESOLVE_INTERVAL_S = 30.0

Key = tuple[str, int]


class FleetParts:
    """The fleet as the store and the state database show it. `faults` and `resolve_quiet` run in threads."""

    def __init__(self, parts: Parts, respond: Respond) -> None:
        self._parts = parts
        self._respond = respond
        self._logs: dict[Key, PartitionLog] = {}
        self._ends: dict[Key, tuple[int, int]] = {}
        """Of each log: how many entries it had, and the sealed end then."""
        self._lag = Lag()
        self._behind_s: float | None = None

    def faults(self) -> list[OwnFault]:
        """What does not work now. Raises StateUnavailable, StoreError, OSError: then nobody knows."""
        sealed = self._refresh()
        own = switch_faults(self._parts), store_faults(self._parts, self._respond)
        return [*self._sources(), *self._detection(sealed), *own[0], *own[1]]

    def resolve_quiet(self) -> float:
        """Resolve incidents that are quiet, by how far detection has come in all shards; returns the seconds
        until the next time. One process that detects for all does it itself."""
        if self._parts.shards is not None and self._behind_s is not None:
            now_ms = self._parts.now_ms()
            behind_ms = int((self._behind_s + self._parts.config.detect.lateness_s) * 1000)
            if self._parts.state.resolve_quiet(now_ms, now_ms - behind_ms):
                self._respond.wake()
        return RESOLVE_INTERVAL_S

    def _refresh(self) -> dict[Key, int]:
        """Read the logs on; returns where each partition's newest segment ends."""
        for key in self._parts.store.partitions():
            if key[0] not in APPEND_PARTITIONS:
                log = self._logs.setdefault(key, PartitionLog(self._parts.store, *key))
                state = log.refresh()
                if self._ends.get(key, (0, 0))[0] != state.next_n:
                    end = max((segment.end for segment in state.live.values()), default=0)
                    self._ends[key] = (state.next_n, end)
        return {key: end for key, (_, end) in self._ends.items()}

    def _sources(self) -> Iterator[OwnFault]:
        """Halted partitions, and sources of which every partition has fallen silent."""
        living, known = set[str](), set[str]()
        for (topic_id, partition), log in self._logs.items():
            topic = topic_id.rpartition(".")[0]
            known.add(topic)
            if log.state.halted is not None:
                summary = f"Partition {partition} of topic {topic} is halted; see auditfuse gap list"
                yield OwnFault("self_halted", f"{topic}/{partition}", summary)
            if log.state.last_ms >= self._parts.now_ms() - LIVES_FOR_MS:
                living.add(topic)
        for source in self._parts.sources:
            if source.topic in known - living:
                yield OwnFault("self_source_down", source.name, f"Source {source.name} is not read")

    def _detection(self, sealed: dict[Key, int]) -> Iterator[OwnFault]:
        shards = self._parts.shards
        names = [ALL] if shards is None else [shard.name for shard in all_shards(shards)]
        wanted: dict[Key, int] = {}
        seen: dict[Key, int] = {}
        for name in names:
            ends = self._parts.state.sealed_ends(name)
            wanted |= {(f"{name} {topic_id}", p): end for (topic_id, p), end in sealed.items()}
            seen |= {(f"{name} {topic_id}", p): end for (topic_id, p), end in ends.items()}
        self._behind_s = self._lag.seconds(wanted, seen, time.monotonic())
        if self._behind_s > LAG_S:
            yield lagging()
