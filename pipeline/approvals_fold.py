"""Sealed rows → the switch's approvals: each row once, over restarts too.

Its snapshot stands beside those of detection, with sealed ends of its own. It is gone on from only where
what follows is folded without a gap: an approval told without its use would be good again.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import structlog

from pipeline import durable
from pipeline.detect.model import Partition, SignalBatch
from pipeline.killswitch.approvals import SealedApprovals

FILE = "approvals.bin"

log = structlog.get_logger()


class ApprovalsFold:
    """The watch's side of the approvals."""

    def __init__(self, approvals: SealedApprovals, directory: Path) -> None:
        self._approvals = approvals
        self._path = directory / FILE
        self._ends: dict[Partition, int] = {}

    def begin(self, folded_from: Mapping[Partition, int], not_before_ms: int) -> None:
        """Detection folds again from these ends: go on from the snapshot, or know nothing before them. One
        that was saved before a time (an erasure) is removed."""
        try:
            if self._path.stat().st_mtime * 1000 < not_before_ms:
                self.drop()
            ends = self._approvals.restore(self._path.read_bytes(), at_least=folded_from)
        except OSError:
            ends = None
        self._ends = dict(folded_from if ends is None else ends)

    def observe(self, batch: SignalBatch) -> None:
        """Take in a batch; what was told before is left out."""
        key = (batch.topic_id, batch.partition)
        done = self._ends.get(key, 0)
        signals = batch.signals if batch.start >= done else batch.signals.filter(pl.col("offset") >= done)
        self._approvals.observe(signals)
        self._ends[key] = max(done, batch.end)

    def save(self) -> None:
        """Keep a snapshot. A cache that cannot be written costs approvals, never safety."""
        try:
            durable.make_directory(self._path.parent)
            durable.replace_atomically(self._path, self._approvals.snapshot(self._ends))
        except OSError as error:
            log.warning("approvals not saved", error=type(error).__name__)

    def drop(self) -> None:
        """Forget the snapshot: it may hold what was erased."""
        durable.remove(self._path)
