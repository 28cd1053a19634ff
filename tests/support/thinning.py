"""Thinning in tests: routine events, rows that protect their trace, and a pass over a store."""

from typing import Any

import msgspec
from support.audit import START_MS, TOPIC_ID, claim, event_meta, origin, row_of
from support.erase import eraser_of, store_of, stored_rows

from pipeline.audit.erase.thinning import Thinning
from pipeline.audit.store import Store
from pipeline.config import Config
from pipeline.keys import Keys
from schemas.record import Row

ALL = "[[thinning.rules]]\nkeep = 0.0\nafter_hours = 24\n"
HALF = "[[thinning.rules]]\nkeep = 0.5\nafter_hours = 24\n"
MARK = "wombatquartz"
"""In every payload."""
ROUTINE = {"action_kind": "read", "outcome": "ok"}


def event(offset: int, *, partition: int = 0, hours: float = 0.0, bound: bool = True, **changes: Any) -> Row:
    """A routine read of trace 1 that was stored so many hours after the start."""
    stored_ms = START_MS + int(hours * 3_600_000)
    place = origin(offset, partition=partition)
    place = msgspec.structs.replace(place, broker_time_ms=stored_ms, bound=bound)
    fields = {**ROUTINE, "trace_id": f"{1:032x}", "session_id": None, **changes}
    meta = msgspec.structs.replace(
        event_meta(offset, partition=partition, **fields),
        origin=place,
        start_time_unix_nano=stored_ms * 10**6,
    )
    return row_of(meta, f'{{"input":"{MARK} {offset}","output":1,"attributes":{{}}}}'.encode())


class AllSeen:
    """In the place of the state database: detection has seen everything, and no finding waits."""

    def schema_version(self) -> int:
        return 1

    def shards(self) -> list[str]:
        return ["all"]

    def sealed_ends(self, shard: str) -> Any:
        del shard
        return {(TOPIC_ID, partition): 10**9 for partition in range(3)}

    def read(self, transaction: Any) -> list[bytes]:
        del transaction
        return []


def thinning(config: Config, hours: float, state: Any = None) -> Thinning:
    """The rules so many hours after the start."""
    now_ms = START_MS + int(hours * 3_600_000)
    eraser = eraser_of(config, now_ms=lambda: now_ms)
    keys = Keys(config.keys.path)
    state = state or AllSeen()
    return Thinning(store_of(config), eraser, config.thinning, keys, state, now_ms=lambda: now_ms)


def thin(config: Config, hours: float = 48, **options: Any) -> int:
    """How many payloads went."""
    return thinning(config, hours, **options).apply().payloads


def bare(store: Store) -> set[tuple[int, int]]:
    """(partition, offset) of the events without a payload."""
    return {
        (key[1], key[2])
        for key, row in stored_rows(store).items()
        if key[0] == TOPIC_ID and row["kind"] == "event" and row["payload"] is None
    }


def sealed(config: Config, *parts: list[Row]) -> Store:
    """Each list is a segment of the partition that its rows name."""
    store = store_of(config)
    writers: dict[int, Any] = {}
    for rows in parts:
        partition = rows[0].fields.origin.partition
        if partition not in writers:
            writers[partition] = claim(store, partition=partition)
        writers[partition].seal(rows, rows[-1].offset + 1)
    return store


PROTECTED: dict[str, dict[str, Any]] = {
    "error": {"outcome": "error"},
    "denied": {"outcome": "denied"},
    "timeout": {"outcome": "timeout"},
    "throttled": {"outcome": "throttled"},
    "external": {"action_kind": "external"},
    "unknown": {"action_kind": "unknown"},
    "canary": {"channel": "canary"},
    "not bound": {"bound": False},
    "not redacted": {"flags": ["redaction_failed"]},
    "young": {"hours": 30},
}
