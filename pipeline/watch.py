"""The watch: sealed rows → findings → trips → one state-database transaction.

A trip is served before everything else, and detection goes on while the database is away. One transaction
stores findings, incidents, outbox rows and the sealed ends consumed, so that nothing is missed and nothing
is emitted twice, wherever the process dies: what was committed is folded again in silence, what was not is
consumed again.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from detectors.window import HOUR_MS
from pipeline import metrics
from pipeline.approvals_fold import ApprovalsFold
from pipeline.audit.erase.orders import ControlRows
from pipeline.clock import NowMs
from pipeline.commits import Commits
from pipeline.detect.accepted import acceptances
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.measure import Measures
from pipeline.detect.model import Acceptance, Found, Part, SignalBatch, joined
from pipeline.detect.snapshots import Folder, Snapshots
from pipeline.errors import AuditfuseError
from pipeline.killswitch.approvals import SealedApprovals
from pipeline.killswitch.notices import Notices
from pipeline.killswitch.switch import KillSwitch
from pipeline.respond.state import StateDatabase
from pipeline.respond.tables import ALL
from pipeline.signals_topic.shard import Shard
from pipeline.tail import Key, Tail
from pipeline.tripping import Tripping

log = structlog.get_logger()

POLL_S = 0.5
RETRY_S = 1.0
MAX_BATCHES = 64
"""Sealed segments folded before their findings are handed on."""
SNAPSHOT_INTERVAL_S = 300.0
LEAST_INTERVAL_S = 30.0
"""A snapshot is due at every hour of event time; while a backlog is folded these pass in seconds."""
SNAPSHOT_AFTER_BATCHES = 64
"""A rebuild that had to fold this many is not done twice: a process that keeps dying starts no slower."""
ERASURE_CHECK_INTERVAL_S = 30.0


class Watch:
    """Runs in a thread of its own; `run` returns when asked to stop."""

    def __init__(
        self,
        *,
        tail: Tail,
        detect: DetectConfig,
        state: StateDatabase,
        switch: KillSwitch,
        snapshots: Path | Folder,
        on_found: Callable[[], None],
        now_ms: NowMs,
        control: ControlRows | None = None,
        approvals: SealedApprovals | None = None,
        notices: Notices | None = None,
        shard: Shard | None = None,
    ) -> None:
        """`control` tells of erasures, before which nothing is remembered, and of accepted baselines;
        `approvals` is told what is sealed, for the switch; `notices` what the policy decided. `shard`: whose
        rows the tail gives, where it is not all of them."""
        self._part: Part = "all" if shard is None else shard.part
        self._shard = ALL if shard is None else shard.name
        self._control = control
        self._built_ms = 0
        self._tail = tail
        self._config = detect
        self._measures = Measures(detect.expected_keys)
        self._commits = Commits(state, on_found, now_ms, self._shard)
        self._tripping = Tripping(switch, notices, now_ms)
        self._approvals: ApprovalsFold | None = None
        if approvals is not None and isinstance(snapshots, Path):
            self._approvals = ApprovalsFold(approvals, snapshots)
        self._snapshots = Snapshots(snapshots, detect, self._part)
        self._saved_hour = 0
        self._now_ms = now_ms
        self._detection: Detection | None = None
        self._agents: set[str] = set()
        self._folded: dict[Key, int] = {}
        self._snapshot_at = time.monotonic() + SNAPSHOT_INTERVAL_S
        self._erasure_check_at = 0.0
        self._is_taken_up = False
        self.is_ready = False
        self.findings = 0
        """Findings of this process."""
        self.vain_rounds = 0
        """How often it has looked and found nothing new: all that was sealed before is consumed."""

    @property
    def ends(self) -> Mapping[Key, int]:
        """The sealed ends consumed: what was found below them is stored."""
        return self._commits.ends

    @property
    def known_agents(self) -> frozenset[str]:
        """Every agent that was seen."""
        return frozenset(self._agents)

    def run(self, arrived: threading.Event, stop: threading.Event) -> None:
        """Consume whenever something was sealed. What fails is tried again from the committed ends. May be
        run again: a shard that comes back goes on from memory, if nobody had it meanwhile."""
        ended = threading.Event()
        commits = threading.Thread(target=self._commits.run, args=(ended,), name="commits", daemon=True)
        commits.start()
        while not stop.is_set():
            try:
                if self.fold():
                    continue
            except Exception as error:  # noqa: BLE001 (whatever it is: detection must not end unseen)
                log.error("detection failed, will be tried again", error=type(error).__name__)
                self._forget()
                stop.wait(RETRY_S)
                continue
            arrived.wait(POLL_S)
            arrived.clear()
        ended.set()
        commits.join()
        self._save_snapshot()
        self.is_ready = self._is_taken_up = False
        self._tell_lag(())

    def step(self) -> bool:
        """Consume what has been sealed; False where there was nothing. Raises StateUnavailable."""
        is_any = self.fold()
        self._commits.flush()
        return is_any

    def fold(self) -> bool:
        """Detect, trip and hand on for commit what has been sealed; False where there was nothing."""
        if self._commits.is_stale or not self._is_taken_up:
            self._take_up()
        if self._detection is None:
            self._detection, folded = self._rebuild()
            self._hand_on([], {}, self._detection)
            if folded >= SNAPSHOT_AFTER_BATCHES:
                self._save_snapshot()
        self.is_ready = True
        batches: list[SignalBatch] = []
        may_read = not self._commits.is_full
        if may_read:
            self._tail.discover(self._now_ms())
            batches = list(_first(self._tail.fresh(self._folded), MAX_BATCHES))
            # After the read: rows are folded with every partition known that was claimed before them.
            self._detection.join(self._tail.alive(self._now_ms()))
        self._tell_lag(batches)
        if batches:
            self._consume(self._detection, batches)
        self.vain_rounds += may_read and not batches
        self._keep_house()
        return bool(batches)

    def _take_up(self) -> None:
        """Go on from memory only where what is stored is what was folded."""
        if self._detection is not None and (self._commits.is_stale or self._commits.begin() != self._folded):
            self._forget()
        self._is_taken_up = True

    def _tell_lag(self, batches: Sequence[SignalBatch]) -> None:
        sealed_ms = self._tail.last_ms if batches else None
        lag_ms = 0 if sealed_ms is None else max(0, self._now_ms() - sealed_ms)
        metrics.detector_lag.labels(self._shard).set(lag_ms / 1000)

    def _forget(self) -> None:
        self.is_ready = False
        self._detection = None

    def _consume(self, detection: Detection, batches: Sequence[SignalBatch]) -> None:
        with metrics.detect_seconds.time():
            found = detection.trips(self._tripping.fresh(self._agents))
            for batch in joined(batches):
                found += detection.observe(batch)
                if self._approvals is not None:
                    self._approvals.observe(batch)
                self._agents.update(_speakers(batch))
            for key in self._tail.gone(self._now_ms()):
                is_halted = self._tail.is_halted(key)
                if key in detection.newest_ms or (is_halted and key not in detection.halted):
                    found += detection.leave(key, is_halted=is_halted)
            standing = [one for one in found if one.withdrawn is None and not one.finding.shadow]
            known = len(self._agents)
            trips = {one.finding.finding_id: self._tripping.trip(one, known) for one in standing}
            for batch in batches:
                key = (batch.topic_id, batch.partition)
                self._folded[key] = max(self._folded.get(key, 0), batch.end)
            self._hand_on(found, trips, detection)
        self._measures.tell(detection, batches, found)
        self.findings += len(found)

    def _hand_on(self, found: Sequence[Found], trips: Mapping[str, str], detection: Detection) -> None:
        self._commits.put(found, trips, self._folded, detection.watermark_ms)

    def _rebuild(self) -> tuple[Detection, int]:
        """The state as of the committed ends: the nearest snapshot, and what was consumed since, silently.
        Also how many batches that was."""
        self._folded = dict(self._commits.begin())
        self._built_ms = self._now_ms()
        detection = self._snapshots.nearest(self._folded, self._erased_ms()) or self._new_detection()
        if self._approvals is not None:
            self._approvals.begin(detection.ends, self._erased_ms())
        # A snapshot's too: the limit on the share of agents under trips counts by them.
        self._agents |= detection.agents
        self._tripping.forget()
        detection.trips(self._tripping.fresh(self._agents))
        detection.accept(self._accepted())
        self._tail.discover(self._now_ms())
        detection.join(self._tail.alive(self._now_ms()))
        folded = 0
        history = self._tail.history(after=detection.ends, upto=self._folded)
        while batches := list(_first(history, MAX_BATCHES)):
            for batch in joined(batches):
                detection.observe(batch)
                if self._approvals is not None:
                    self._approvals.observe(batch)
                self._agents.update(_speakers(batch))
            folded += len(batches)
        return detection, folded

    def _new_detection(self) -> Detection:
        return Detection(self._config, self._part)

    def _save_snapshot(self) -> None:
        detection = self._detection
        if detection is None or not self._commits.is_empty or self._erased_ms() >= self._built_ms:
            return  # one ahead of what is committed would be of no use
        self._snapshots.save(detection)
        if self._approvals is not None:
            self._approvals.save()
        self._saved_hour = _hour_of(detection)
        self._snapshot_at = time.monotonic() + SNAPSHOT_INTERVAL_S

    def _is_snapshot_due(self) -> bool:
        """At every hour of event time, as far as it passes slowly enough, and at least every few minutes."""
        left_s = self._snapshot_at - time.monotonic()
        if left_s <= 0:
            return True
        is_new_hour = self._detection is not None and _hour_of(self._detection) != self._saved_hour
        return is_new_hour and left_s <= SNAPSHOT_INTERVAL_S - LEAST_INTERVAL_S

    def _keep_house(self) -> None:
        now = time.monotonic()
        if self._is_snapshot_due():
            self._snapshot_at = now + SNAPSHOT_INTERVAL_S
            self._save_snapshot()
        if now >= self._erasure_check_at:
            self._erasure_check_at = now + ERASURE_CHECK_INTERVAL_S
            if self._erased_ms() >= self._built_ms:
                log.info("detection starts anew from the rows that an erasure left")
                self._snapshots.drop()
                if self._approvals is not None:
                    self._approvals.drop()
                self._detection, self._agents = None, set()
            elif self._detection is not None:
                self._detection.accept(self._accepted())

    def _erased_ms(self) -> int:
        """When the latest erasure that a person ordered was complete."""
        control = self._refreshed_control()
        return control.completed_ms() if control else 0

    def _accepted(self) -> list[Acceptance]:
        """What people accepted as the new normal."""
        control = self._refreshed_control()
        return acceptances(control.state.commands.values()) if control else []

    def _refreshed_control(self) -> ControlRows | None:
        if self._control is not None:
            try:
                self._control.refresh()
            except (AuditfuseError, OSError) as error:
                # A `_control` that cannot be read must not end detection; the sealer complains of it.
                log.warning("erasures and acceptances cannot be looked up", error=type(error).__name__)
        return self._control


def _first(batches: Iterator[SignalBatch], limit: int) -> Iterator[SignalBatch]:
    for _, batch in zip(range(limit), batches, strict=False):
        yield batch


def _speakers(batch: SignalBatch) -> Iterable[str]:
    """The agents of the whole fleet that spoke: the limits on trips count by them."""
    return batch.signals["agent_id"].unique() if batch.marker is None else batch.marker.agents


def _hour_of(detection: Detection) -> int:
    return (detection.watermark_ms or 0) // HOUR_MS
