"""The catalog: DuckDB files with views over the live segments, for everyone who queries.

One lock holder at a time builds the next file aside and renames it into place; nobody holds a file that
is written. A pointer names the newest, with the log tails it stands on: it never goes back behind them.
Everything in the directory is a cache: it can be deleted, and is made anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline import durable
from pipeline.audit.checkpoint.shown import ShownCheckpoints
from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.reading import Reading
from pipeline.audit.repeats import PublishedRows, Repeats
from pipeline.audit.store import APPEND_PARTITIONS, CONTROL, FINDINGS, Store
from pipeline.audit.views.template import fingerprint, point_to, start_catalog
from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import StoreError
from pipeline.file_lock import file_lock

if TYPE_CHECKING:
    import duckdb

MIN_INTERVAL_MS = 1000
"""The catalog is built at most this often."""
GRACE_S = 900
"""Superseded catalog files live on this long, so that running queries finish."""
_READ_ONLY_FRESH_MS = 5000
"""Where the store cannot be written, a catalog of this age is taken: its builder is at work."""

_log = logging.getLogger(__name__)


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """What `catalog/current.json` holds."""

    number: int
    file: str
    built_at_ms: int
    tails: dict[str, int]
    """`<topic id>/<partition>` → entries of its log that the catalog stands on."""
    views: str = ""
    """Which definitions of views it has: another version of auditfuse builds it anew."""

    def shows(self, tails: dict[str, int]) -> bool:
        """Whether it stands on these log tails, with the views of today."""
        return self.tails == tails and self.views == fingerprint()


class Catalog:
    """The catalog of one store, kept open by whoever builds it again and again. One thread at a time."""

    def __init__(self, store: Store, *, now_ms: NowMs = system_now_ms) -> None:
        self.directory = store.cache_dir / "catalog"
        self._working = self.directory / "working.duckdb"
        self.warnings: list[str] = []
        """Partitions whose log could not be read to its end: they are shown as far as it could."""
        self._store = store
        self._reading = Reading(store)
        self._now_ms = now_ms
        self._logs: dict[tuple[str, int], PartitionLog] = {}
        self._checkpoints = ShownCheckpoints(store)

    def refresh(self, *, at_once: bool = False) -> Path | None:
        """Build the next catalog if the logs have grown; returns the newest one's path.

        One that is less than a second old stands, unless `at_once`.

        None where another process is building the first one right now. Raises StoreError where the
        logs are behind the newest catalog, OSError where the store cannot be written.
        """
        durable.make_directory(self.directory)
        with file_lock(self.directory / "lock") as held:
            pointer = self.pointer()
            age_ms = self._now_ms() - pointer.built_at_ms if pointer else MIN_INTERVAL_MS
            if held and (at_once or not 0 <= age_ms < MIN_INTERVAL_MS):
                states = self.states()
                self._save_snapshots()
                tails = _tails(states)
                if not (pointer and pointer.shows(tails) and (self.directory / pointer.file).exists()):
                    _require_ahead(pointer, tails)
                    pointer = self._build(states, tails, pointer.number + 1 if pointer else 1)
                    self._remove_superseded(pointer)
                    self._reading.let_go(states, keep_after_ms=self._now_ms() - GRACE_S * 1000)
        return self.directory / pointer.file if pointer else None

    def renew(self) -> bool:
        """Build a catalog from nothing but the live segments and delete every older one, for an erasure:
        files that they name are about to go. False where another process is building one: try again."""
        durable.make_directory(self.directory)
        with file_lock(self.directory / "lock") as held:
            if not held:
                return False
            for path in (self._working, self._working.with_name(self._working.name + ".wal")):
                durable.remove(path)
            states, pointer = self.states(), self.pointer()
            _require_ahead(pointer, _tails(states))
            newest = self._build(states, _tails(states), pointer.number + 1 if pointer else 1)
            for path in self.directory.glob("catalog-*.duckdb"):
                if path.name != newest.file:
                    durable.remove(path)
            self._reading.let_go(states)
        return True

    def pointer(self) -> Pointer | None:
        """The newest catalog, None where none was built yet."""
        try:
            return msgspec.json.decode((self.directory / "current.json").read_bytes(), type=Pointer)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def is_stale(self) -> bool:
        """Whether the logs have grown beyond the newest catalog."""
        pointer = self.pointer()
        return pointer is None or not pointer.shows(_tails(self.states()))

    def write_copy(self, target: Path) -> None:
        """A catalog file at `target`, which must not exist, with absolute paths to this store's files."""
        if target.exists():
            raise StoreError(f"{target} exists; name a file that does not")
        self._write(target, self.states(), working=None)

    def states(self) -> list[PartitionState]:
        """Every partition as far as its log now reads."""
        self.warnings = []
        for identity in self._store.partitions():
            log = self._logs.setdefault(identity, PartitionLog(self._store, *identity))
            try:
                log.refresh()
            except StoreError as error:
                self.warnings.append(str(error))
        return [log.state for _, log in sorted(self._logs.items())]

    def _save_snapshots(self) -> None:
        for log in self._logs.values():
            with contextlib.suppress(OSError):
                log.save_snapshot()

    def _build(self, states: list[PartitionState], tails: dict[str, int], number: int) -> Pointer:
        import duckdb

        for leftover in self.directory.glob(".building-*"):
            durable.remove(leftover)
        building = self.directory / f".building-{secrets.token_hex(8)}"
        working = self._working
        try:
            self._write(building, states, working)
        except duckdb.Error:
            # A working file that a power cut damaged must not keep the catalog from being built.
            for path in (building, working, working.with_name(working.name + ".wal")):
                durable.remove(path)
            self._write(building, states, working)
        building.chmod(0o440)
        name = f"catalog-{number:012d}.duckdb"
        os.replace(building, self.directory / name)  # noqa: PTH105 (by attribute, for the crash tests)
        pointer = Pointer(
            number=number, file=name, built_at_ms=self._now_ms(), tails=tails, views=fingerprint()
        )
        durable.replace_atomically(self.directory / "current.json", msgspec.json.encode(pointer))
        return pointer

    def _write(self, target: Path, states: list[PartitionState], working: Path | None) -> None:
        import duckdb

        self._reading.bring(states)
        with Repeats(working, self._reading.prepare) as repeats:
            repeats.add(self._published(states))
            start_catalog(target, has_repeats=repeats.count > 0)
            repeats.copy_to(target)
        with duckdb.connect(str(target)) as connection:
            self._reading.prepare(connection)
            self._write_segments(connection, states)
            self._checkpoints.write(connection, states)
            self._point_to_segments(connection, states)

    def _published(self, states: list[PartitionState]) -> list[PublishedRows]:
        return [
            PublishedRows(
                state.topic_id,
                state.partition,
                state.end,
                [(ref.end, self._location(state, name)) for name, ref in state.live.items()],
            )
            for state in states
            if state.topic_id not in APPEND_PARTITIONS
        ]

    def _location(self, state: PartitionState, name: str) -> str:
        return self._reading.location(state.topic_id, state.partition, name)

    def _write_segments(self, connection: duckdb.DuckDBPyConnection, states: list[PartitionState]) -> None:
        rows = [
            [state.topic_id, state.partition, ref.name]
            + [getattr(ref, name) for name in _SEGMENT_FACTS]
            + [self._location(state, ref.name)]
            for state in states
            for ref in state.live.values()
        ]
        # One statement with lists, one a column: row by row would take a millisecond each.
        columns = [list(column) for column in zip(*rows, strict=True)]
        if columns:
            connection.execute(_SEGMENTS_INSERT, columns)

    def _point_to_segments(self, connection: duckdb.DuckDBPyConnection, states: list[PartitionState]) -> None:
        paths: dict[str, list[str]] = {"": [], CONTROL: [], FINDINGS: []}
        for state in states:
            key = state.topic_id if state.topic_id in APPEND_PARTITIONS else ""
            paths.setdefault(key, []).extend(self._location(state, name) for name in state.live)
        point_to(connection, paths[""], paths[CONTROL], paths[FINDINGS])

    def _remove_superseded(self, newest: Pointer) -> None:
        oldest_kept_s = time.time() - GRACE_S
        for path in self.directory.glob("catalog-*.duckdb"):
            with contextlib.suppress(FileNotFoundError):
                if path.name != newest.file and path.stat().st_mtime < oldest_kept_s:
                    durable.remove(path)


_SEGMENT_FACTS = (
    *("start", "end", "rows", "events", "bytes", "min_event_ms", "max_event_ms"),
    *("sha256", "prev", "head", "merkle_root"),
)
_SEGMENTS_INSERT = f"""
INSERT INTO live_segments
SELECT {", ".join(f"epoch_ms(c{i}::BIGINT)" if i in (8, 9) else f"c{i}" for i in range(15))}
FROM (SELECT {", ".join(f"unnest(${i + 1}) AS c{i}" for i in range(15))})
"""  # noqa: S608 (names of ours)


def _tails(states: list[PartitionState]) -> dict[str, int]:
    return {f"{state.topic_id}/{state.partition}": state.next_n for state in states}


def _require_ahead(pointer: Pointer | None, tails: dict[str, int]) -> None:
    if pointer is None:
        return
    for partition, tail in pointer.tails.items():
        if tails.get(partition, 0) < tail:
            raise StoreError(
                f"the log of {partition} has {tails.get(partition, 0)} readable entries, the newest catalog "
                f"stands on {tail}: its tail was cut or damaged; run auditfuse verify"
            )


def build_catalog(store: Store, *, now_ms: NowMs = system_now_ms) -> Path | None:
    """Bring the catalog of `store` up to date; returns the newest one's path.

    None where another process is building the first one. Raises StoreError, OSError.
    """
    return Catalog(store, now_ms=now_ms).refresh()


@contextlib.contextmanager
def newest_catalog(store: Store, *, warn: Callable[[str], None] = _log.warning) -> Generator[Path]:
    """The path of a catalog that shows all that was sealed when this was called.

    Built first where it is stale. Where the store cannot be written, a catalog that its builder keeps
    fresh is taken, else one is built in a temporary directory and removed afterwards.
    """
    store.require()
    catalog = Catalog(store)
    if os.access(_nearest_directory(catalog.directory), os.W_OK):
        path = _up_to_date(catalog)
        for warning in catalog.warnings:
            warn(warning)
        yield path
        return
    pointer = catalog.pointer()
    if pointer and (not catalog.is_stale() or system_now_ms() - pointer.built_at_ms < _READ_ONLY_FRESH_MS):
        yield catalog.directory / pointer.file
        return
    with tempfile.TemporaryDirectory(prefix="auditfuse-catalog-") as directory:
        target = Path(directory) / "catalog.duckdb"
        catalog.write_copy(target)
        yield target


def _nearest_directory(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.is_dir())


def _up_to_date(catalog: Catalog) -> Path:
    """Refresh until nothing is missing that was sealed before; another builder is waited for."""
    deadline_s = time.monotonic() + 60
    wanted = _tails(catalog.states())
    while True:
        path, pointer = catalog.refresh(), catalog.pointer()
        if path and pointer and all(pointer.tails.get(key, 0) >= n for key, n in wanted.items()):
            return path
        if time.monotonic() > deadline_s:
            raise StoreError("another process has been building the catalog for a minute; try again")
        time.sleep(0.05)
