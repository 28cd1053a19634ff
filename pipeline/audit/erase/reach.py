"""The copies beside the segments: which of them an erasure reaches, and which are out of its reach."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import durable
from pipeline.audit.catalog import Catalog
from pipeline.audit.erase.scope import Predicate
from pipeline.audit.erase.texts import Texts
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import FINDINGS, Store
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError

if TYPE_CHECKING:
    from pipeline.audit.erase.values import Needles
    from pipeline.config import Config

_STAGING_AGE_S = 60.0
"""A file in staging that is younger may be under way."""
_CATALOG_WAIT_S = 60.0


@dataclass
class Reached:
    """What was done to copies, and what could not be."""

    done: list[str] = field(default_factory=list[str])
    out_of_reach: list[str] = field(default_factory=list[str])

    def missed(self, what: str) -> None:
        """Note a copy that stays, and until when; once."""
        if what not in self.out_of_reach:
            self.out_of_reach.append(what)

    def add(self, other: Reached) -> None:
        """Add what was found elsewhere."""
        self.done += other.done
        for what in other.out_of_reach:
            self.missed(what)


class Copies:
    """Everything that auditfuse keeps, or knows of, besides the segments."""

    def __init__(
        self, store: Store, config: Config, *, now_ms: NowMs, staging_age_s: float = _STAGING_AGE_S
    ) -> None:
        self._store = store
        self._config = config
        self._now_ms = now_ms
        self._staging_age_s = staging_age_s

    def survey(self, predicate: Predicate, looked_for: Needles | None) -> Reached:
        """What would be out of reach. Changes nothing."""
        reached = Reached()
        self._tell_of_topics(predicate, reached, erase=False)
        self._tell_of_declared(reached)
        self._tell_of_caches(reached)
        self._journal(predicate, looked_for, reached)
        self._state(predicate, looked_for, reached, erase=False)
        return reached

    def erase(self, predicate: Predicate, looked_for: Needles | None, *, automatic: bool) -> Reached:
        """Erase what can be, and list what cannot. `automatic`: by a rule, which concerns rows of an age: raw
        input and the detectors' memory have an age of their own, and what the state database holds goes with
        the findings. Running detectors start anew by themselves once the completion is sealed."""
        reached = Reached()
        self._empty_staging(reached)
        if not automatic or predicate.scope.topic == FINDINGS:
            self._state(predicate, looked_for, reached, erase=True)
        if not automatic:
            self._forget_snapshots(reached)
            self._tell_of_topics(predicate, reached, erase=True)
            self._tell_of_declared(reached)
            self._journal(predicate, looked_for, reached)
            self._tell_of_caches(reached)
        return reached

    def rebuild_catalog(self) -> Reached:
        """Make the catalog anew, so that it names no file that is about to go, and drop the older ones."""
        reached = Reached()
        catalog = Catalog(self._store, now_ms=self._now_ms)
        if not catalog.directory.is_dir():
            return reached
        deadline_s = time.monotonic() + _CATALOG_WAIT_S
        while not catalog.renew():
            if time.monotonic() > deadline_s:
                reached.missed(
                    "the catalog: another process has been building it for a minute; run catalog again"
                )
                return reached
            time.sleep(0.05)
        reached.done.append("catalog made anew")
        self._renew_readers(reached)
        return reached

    def _renew_readers(self, reached: Reached) -> None:
        from pipeline.audit.readers.trail import ReadersTrail

        readers = ReadersTrail.of(self._store, self._config.readers, self._config.store)
        path = self._config.readers.path
        if readers is None or path is None or not path.is_dir():
            return
        readers.forget(self._replaced_copies(path.absolute()))
        reached.done.append("readers' copy made anew")

    def _replaced_copies(self, path: Path) -> Iterator[tuple[str, int, str]]:
        for topic_id, partition in self._store.partitions():
            folder = path / "segments" / topic_id / str(partition)
            live = PartitionLog.open(self._store, topic_id, partition).state.live
            for file in sorted(folder.glob("*.parquet")):
                if file.name not in live:
                    yield topic_id, partition, file.name

    def _empty_staging(self, reached: Reached) -> None:
        """What interrupted writes left behind; what is under way is waited for."""
        objects, deadline_s = self._store.objects, time.monotonic() + self._staging_age_s + 1
        while objects.names("staging"):
            objects.clean_staging(int((time.time() - self._staging_age_s) * 1000) + 1)
            left = len(objects.names("staging"))
            if left and time.monotonic() >= deadline_s:
                reached.missed(f"{left} files in staging that are being written: run the erasure again")
                return
            if left:
                time.sleep(0.2)

    def _forget_snapshots(self, reached: Reached) -> None:
        from pipeline.signals_topic.snapshot_folder import drop_all

        snapshots = sorted((self._store.cache_dir / "snapshots").glob("detect-*"))
        for path in snapshots:
            durable.remove(path)
        try:
            number = len(snapshots) + drop_all(self._store)
        except PermissionError:
            reached.missed("the storage keeps detector snapshots of shards, until its own rules delete them")
            number = len(snapshots)
        if number:
            reached.done.append(f"{number} detector snapshots deleted; they are made anew")

    def _tell_of_topics(self, predicate: Predicate, reached: Reached, *, erase: bool) -> None:
        from pipeline.audit.erase.local_topics import drop_sealed

        for source in self._config.sources:
            if predicate.scope.topic not in (None, source.topic):
                continue
            if source.kind == "kafka":
                reached.missed(
                    f"Kafka topic {source.topic}: until its retention ends (see retention.ms of the topic)"
                )
        for path in sorted(self._config.topics.path.glob("*/topic.json")):
            if predicate.scope.topic in (None, path.parent.name):
                left = drop_sealed(self._store, self._config, path.parent.name, erase=erase)
                if left is not None:
                    reached.missed(left)
        output = self._config.dead_letters
        if output.topic is not None and predicate.scope.topic is None:
            reached.missed(
                f"dead-letter topic {output.topic}: sizes and HMACs of messages that were no events, "
                "until its retention ends"
            )
        if self._config.redacted.topic is not None:
            reached.missed(
                f"redacted topic {self._config.redacted.topic}, and what was read from it: until its "
                "retention ends"
            )

    def _tell_of_declared(self, reached: Reached) -> None:
        for copy in self._config.erasure.further_copies:
            reached.missed(copy)

    def _tell_of_caches(self, reached: Reached) -> None:
        if not self._store.is_local:
            reached.missed(
                "copies of segments on other machines that query the store: until a query 15 minutes later "
                "runs there"
            )

    def _journal(self, predicate: Predicate, looked_for: Needles | None, reached: Reached) -> None:
        texts = Texts(predicate.scope, looked_for)
        if not texts:
            return
        folder = self._config.killswitch.journal
        with contextlib.suppress(OSError):
            for path in sorted([*folder.glob("trips/*.json"), *folder.glob("sealed.json")]):
                if texts.are_in(path.read_bytes()):
                    reached.missed(
                        f"kill-switch journal {path.name}: until the trips that it holds are reset"
                    )

    def _state(
        self, predicate: Predicate, looked_for: Needles | None, reached: Reached, *, erase: bool
    ) -> None:
        from pipeline.audit.erase.state_rows import erase_state

        try:
            reached.add(erase_state(self._config, predicate, looked_for, erase=erase))
        except AuditfuseError as error:
            reached.missed(f"state database: {error}")
