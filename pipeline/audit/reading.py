"""Where DuckDB finds the live segments: in place, or in copies on this machine.

A directory is read in place, an object store too where DuckDB's httpfs extension is installed and reaches it.
Else each live segment is fetched once, checked by its hash, into `<cache>/segments/`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import durable
from pipeline.audit.log import PartitionState
from pipeline.audit.objects.local import LocalObjects
from pipeline.audit.store import Store
from pipeline.errors import StoreError
from schemas.log_entry import SegmentRef

if TYPE_CHECKING:
    import duckdb

FETCHES_AT_ONCE = 4
"""Each holds one segment in memory."""
COPIES = "segments"
"""The copies' directory below the cache."""

Place = tuple[str, int, str]
"""Topic id, partition and name of a segment."""

_log = logging.getLogger(__name__)


class Reading:
    """How the segments of one store are read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        setup = store.objects.duckdb_setup()
        self._setup = setup or []
        self._copies = _Copies(store) if setup is None else None
        self._is_tried = not setup

    def location(self, topic_id: str, partition: int, name: str) -> str:
        """The absolute path or URL of a live segment, once it was brought."""
        if self._copies is not None:
            return self._copies.location((topic_id, partition, name))
        return self._store.segment_location(topic_id, partition, name)

    def bring(self, states: Sequence[PartitionState]) -> None:
        """See to it that DuckDB can read every live segment.

        Raises StoreError where one is missing or is not what the log names, OSError.
        """
        if not self._is_tried:
            self._try(states)
        if self._copies is not None:
            self._copies.fetch(states)

    def let_go(self, states: Sequence[PartitionState], *, keep_after_ms: int | None = None) -> None:
        """Delete the copies of segments that are no longer live, but of those replaced after that time."""
        if self._copies is not None:
            self._copies.let_go(states, keep_after_ms)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a connection read the locations."""
        prepare(connection, self._setup if self._copies is None else [])

    def _try(self, states: Sequence[PartitionState]) -> None:
        """Whether DuckDB reads one of the segments in place; where it does not, copies do."""
        import duckdb

        place = next(((*_partition(state), name) for state in states for name in state.live), None)
        if place is None:
            return
        self._is_tried = True
        location = self._store.segment_location(*place)
        try:
            with duckdb.connect(":memory:") as connection:
                prepare(connection, self._setup)
                confine(connection, [location])
                connection.execute("SELECT 1 FROM read_parquet(?) LIMIT 1", [location]).fetchall()
        except (duckdb.Error, StoreError):
            _log.warning("DuckDB's httpfs cannot read %s: segments are copied first", self._store.name)
            self._copies = _Copies(self._store)


class _Copies:
    """Copies of live segments, under the names that they have in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files = LocalObjects(store.cache_dir)

    def location(self, place: Place) -> str:
        return self._files.location(self._store.segment_key(*place))

    def fetch(self, states: Sequence[PartitionState]) -> None:
        live = [(state, ref) for state in states for ref in state.live.values()]
        self._require_room(sum(ref.bytes for _, ref in live))
        missing = [(state, ref) for state, ref in live if not self._is_here(state, ref)]
        if missing:
            with ThreadPoolExecutor(min(FETCHES_AT_ONCE, len(missing))) as pool:
                for fetched in [pool.submit(self._fetch, *one) for one in missing]:
                    fetched.result()

    def let_go(self, states: Sequence[PartitionState], keep_after_ms: int | None) -> None:
        kept = {
            self._store.segment_key(*_partition(state), name)
            for state in states
            for name in (*state.live, *_resting(state, keep_after_ms))
        }
        for path in list(self._paths()):
            if path.relative_to(self._files.root).as_posix() not in kept:
                durable.remove(path)

    def _paths(self) -> Iterator[Path]:
        return (self._files.root / COPIES).glob("*/*/*.parquet")

    def _is_here(self, state: PartitionState, ref: SegmentRef) -> bool:
        path = Path(self.location((*_partition(state), ref.name)))
        with suppress(FileNotFoundError):
            return path.stat().st_size == ref.bytes
        return False

    def _fetch(self, state: PartitionState, ref: SegmentRef) -> None:
        place = (*_partition(state), ref.name)
        try:
            content = self._store.read_segment(*place)
        except FileNotFoundError:
            raise StoreError(f"segment {_text(place)} is not in the store; run auditfuse verify") from None
        if sha256(content).hexdigest() != ref.sha256:
            raise StoreError(f"segment {_text(place)} was changed in the store; run auditfuse verify")
        if not self._files.create(self._store.segment_key(*place), content):
            # Not what was fetched once: damaged on this machine.
            durable.remove(Path(self.location(place)))
            self._files.create(self._store.segment_key(*place), content)

    def _require_room(self, live_bytes: int) -> None:
        limit = self._store.cache_max_bytes
        if limit is not None and live_bytes > limit:
            raise StoreError(
                f"the live segments of {self._store.name} take {live_bytes:,} bytes, more than "
                f"store.cache_max_bytes = {limit}: raise it, or install DuckDB's httpfs extension to "
                "read them in place"
            )


def prepare(connection: duckdb.DuckDBPyConnection, setup: Iterable[str]) -> None:
    """Run the statements by which DuckDB reaches a store. Raises StoreError, without their text: it holds
    credentials."""
    import duckdb

    try:
        for statement in setup:
            connection.execute(statement)
    except duckdb.Error as error:
        raise StoreError(f"DuckDB's httpfs extension cannot be used ({type(error).__name__})") from None


def confine(connection: duckdb.DuckDBPyConnection, locations: Iterable[str]) -> None:
    """Let a connection read these files and no other, and change no setting any more."""
    # A value of SET cannot be a parameter; file names have no quotes but the store's path may.
    listed = ", ".join("'" + location.replace("'", "''") + "'" for location in locations)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def _partition(state: PartitionState) -> tuple[str, int]:
    return state.topic_id, state.partition


def _resting(state: PartitionState, keep_after_ms: int | None) -> list[str]:
    if keep_after_ms is None:
        return []
    return [name for name, at_ms in state.retired.items() if at_ms > keep_after_ms]


def _text(place: Place) -> str:
    return "/".join(map(str, place))
