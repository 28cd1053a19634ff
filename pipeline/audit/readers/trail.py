"""The directory that readers read: copies of the live segments without payloads, and a catalog over them.

    <readers.path>/trail.duckdb                                     what DuckDB opens
    <readers.path>/segments/<topic id>/<partition>/<segment's name>  its copy
    <readers.path>/.progress.json, .lock, .building-*               auditfuse's own

Follows the store's catalog, so it shows what that one showed a moment ago. All of it can be deleted and is
made anew. `trail.duckdb` is replaced by renaming: who has it open goes on reading the one before.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pipeline import durable
from pipeline.audit.catalog import Catalog
from pipeline.audit.readers.config import ReadersConfig
from pipeline.audit.store import APPEND_PARTITIONS, CONTROL, FINDINGS, Store, StoreConfig
from pipeline.audit.views.base import quoted
from pipeline.audit.views.files import TABLES
from pipeline.audit.views.template import point_to, start_catalog
from pipeline.clock import NowMs, system_now_ms
from pipeline.errors import ConfigError, StoreError
from pipeline.file_lock import file_lock
from pipeline.repeated import Repeated

if TYPE_CHECKING:
    import duckdb

TRAIL = "trail.duckdb"
_BUILDING = ".building-"
_DIRECTORY_MODE = 0o750
_FILE_MODE = 0o440

_log = logging.getLogger(__name__)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What `.progress.json` holds."""

    store: str = ""
    """The store that it is a copy of."""
    catalog: str = ""
    """The store's catalog that `trail.duckdb` was made from."""
    retired_ms: dict[str, int] = {}
    """Copy → when it was first seen that its segment is no longer live."""


class LiveSegment(NamedTuple):
    """A live segment by what names it."""

    topic_id: str
    partition: int
    name: str

    @property
    def key(self) -> str:
        """Its path below `segments/`."""
        return f"{self.topic_id}/{self.partition}/{self.name}"


class ReadersTrail:
    """The copy at `[readers] path`. One process at a time brings it up to date; others leave it alone."""

    def __init__(
        self, store: Store, config: ReadersConfig, *, grace_s: int, now_ms: NowMs = system_now_ms
    ) -> None:
        """`grace_s`: how long a copy lives on after its segment was replaced, for queries that run."""
        if config.path is None:
            raise ConfigError("[readers] path is not set: there is no readers' copy")
        self.directory = config.path.absolute()
        self._segments = self.directory / "segments"
        self._store = store
        self._gid = group_id(config.group)
        self._grace_ms = grace_s * 1000
        self._now_ms = now_ms

    @classmethod
    def of(cls, store: Store, readers: ReadersConfig, config: StoreConfig) -> ReadersTrail | None:
        """The copy that the configuration asks for, None where it asks for none."""
        return cls(store, readers, grace_s=config.superseded_grace_s) if readers.path else None

    def refresh(self) -> Path:
        """Copy what is new, replace `trail.duckdb` and delete what is due; returns its path.

        Raises StoreError, OSError; FileNotFoundError where a segment went meanwhile: try again.
        """
        with self._lock() as held:
            if held:
                self._follow()
        return self.directory / TRAIL

    def forget(self, segments: Iterable[tuple[str, int, str]]) -> None:
        """Delete the copies of these segments (topic id, partition, name) now: what they hold was erased.

        The store's catalog must show that already: the copy is brought up to date first.
        """
        with self._lock(wait_s=math.inf):
            self._follow()
            for segment in segments:
                durable.remove(self._segments / LiveSegment(*segment).key)

    def _follow(self) -> None:
        """Become what the store's catalog now shows. The lock is held."""
        pointer, progress = Catalog(self._store).pointer(), self._progress()
        if progress.store not in ("", self._store.name):
            raise StoreError(f"{self.directory} is the readers' copy of another store, {progress.store}")
        if pointer is None:
            return
        trail = self.directory / TRAIL
        if progress.catalog != pointer.file or not trail.exists():
            live = self._build(self._store.cache_dir / "catalog" / pointer.file, trail)
            progress = Progress(
                store=self._store.name, catalog=pointer.file, retired_ms=self._retired(progress, live)
            )
            self._save(progress)
        self._delete_due(progress)

    def _build(self, catalog: Path, trail: Path) -> list[LiveSegment]:
        import duckdb

        for leftover in self.directory.rglob(_BUILDING + "*"):
            durable.remove(leftover)
        building = self.directory / f"{_BUILDING}{secrets.token_hex(8)}"
        with duckdb.connect(str(catalog), read_only=True) as original:
            live = [LiveSegment(*row) for row in original.execute(_LIVE).fetchall()]
            has_repeats = original.execute("SELECT count(*) FROM repeats").fetchone() != (0,)
        for segment in live:
            self._copy(segment)
        start_catalog(building, has_repeats=has_repeats)
        with duckdb.connect(str(building)) as connection:
            connection.execute(f"ATTACH {quoted(str(catalog))} AS original (READ_ONLY)")
            for table in TABLES:
                connection.execute(f'INSERT INTO "{table.name}" FROM original."{table.name}"')
            connection.execute("DETACH original")
            self._point_to_copies(connection, live)
        self._publish(building, trail)
        return live

    def _copy(self, segment: LiveSegment) -> None:
        from pipeline.audit.readers.segments import write_without_payloads

        target = self._segments / segment.key
        if target.exists():
            return
        self._make_directory(target.parent)
        building = target.with_name(f"{_BUILDING}{secrets.token_hex(8)}")
        with self._store.open_segment(*segment) as source:
            write_without_payloads(source, segment.topic_id, building, segment.key)
        self._publish(building, target)

    def _point_to_copies(self, connection: duckdb.DuckDBPyConnection, live: list[LiveSegment]) -> None:
        """The same catalog over other files."""
        root = quoted(f"{self._segments}/")
        connection.execute(f"UPDATE live_segments SET path = {root} || {_KEY}")  # noqa: S608 (a quoted path)
        paths: dict[str, list[str]] = {"": [], CONTROL: [], FINDINGS: []}
        for segment in live:
            place = segment.topic_id if segment.topic_id in APPEND_PARTITIONS else ""
            paths.setdefault(place, []).append(str(self._segments / segment.key))
        point_to(connection, paths[""], paths[CONTROL], paths[FINDINGS])

    def _publish(self, building: Path, target: Path) -> None:
        """Give a finished file to the group, and its name."""
        self._give(building, _FILE_MODE)
        os.replace(building, target)  # noqa: PTH105 (by attribute, for the crash tests)

    def _make_directory(self, path: Path) -> None:
        missing = [one for one in (path, *path.parents) if not one.exists()]
        durable.make_directory(path, _DIRECTORY_MODE)
        for directory in missing:
            if directory.is_relative_to(self.directory):
                self._give(directory, _DIRECTORY_MODE)

    def _give(self, path: Path, mode: int) -> None:
        """To the group; explicitly, since the umask would take its rights away."""
        try:
            os.chown(path, -1, self._gid)
        except PermissionError:
            raise StoreError(
                f"{path} cannot be given to group {self._gid} ([readers] group): add the account that "
                "auditfuse runs as to that group"
            ) from None
        path.chmod(mode)

    def _retired(self, progress: Progress, live: list[LiveSegment]) -> dict[str, int]:
        kept = {segment.key for segment in live}
        found = {str(path.relative_to(self._segments)) for path in self._segments.rglob("*.parquet")}
        return {key: progress.retired_ms.get(key, self._now_ms()) for key in found - kept}

    def _delete_due(self, progress: Progress) -> None:
        due = [key for key, at in progress.retired_ms.items() if self._now_ms() - at >= self._grace_ms]
        for key in due:
            durable.remove(self._segments / key)
        if due:
            kept = {key: at for key, at in progress.retired_ms.items() if key not in due}
            self._save(msgspec.structs.replace(progress, retired_ms=kept))

    def _progress(self) -> Progress:
        try:
            return msgspec.json.decode((self.directory / ".progress.json").read_bytes(), type=Progress)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Progress()

    def _save(self, progress: Progress) -> None:
        durable.replace_atomically(self.directory / ".progress.json", msgspec.json.encode(progress), 0o600)

    def _lock(self, *, wait_s: float = 0.0) -> AbstractContextManager[bool]:
        """Whether this process may build."""
        self._make_directory(self.directory)
        return file_lock(self.directory / ".lock", wait_s=wait_s)


class ReadersRunner(Repeated):
    """Keeps the copy fresh while `auditfuse run` goes on, and copies once more at the end: stop it after the
    catalog, which it follows."""

    def __init__(self, trail: ReadersTrail, interval_s: float) -> None:
        super().__init__("readers", interval_s, at_end=True)
        self._trail = trail

    def work(self) -> None:
        """Copy what is new."""
        import duckdb

        try:
            self._trail.refresh()
        except FileNotFoundError:
            _log.info("the readers' copy waits for the next catalog: a segment was replaced meanwhile")
        except (StoreError, OSError) as error:
            _log.warning("the readers' copy could not be refreshed: %s", error)
        except duckdb.Error as error:
            _log.warning("the readers' copy could not be refreshed: %s", type(error).__name__)


def group_id(name: str | None) -> int:
    """The group's number; without a name the one that this process runs as. Raises ConfigError."""
    import grp

    if name is None:
        return os.getegid()
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"readers.group: this machine has no group {name!r}; create it first") from None


_LIVE = 'SELECT topic_id, "partition", name FROM live_segments ORDER BY ALL'
_KEY = """topic_id || '/' || "partition" || '/' || name"""
