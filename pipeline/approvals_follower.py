"""Follows what is sealed for the approvals alone: on a control host where detection runs elsewhere."""

from pathlib import Path

import structlog

from pipeline.approvals_fold import ApprovalsFold
from pipeline.audit.erase.orders import ControlRows
from pipeline.clock import NowMs
from pipeline.killswitch.approvals import SealedApprovals
from pipeline.repeated import Repeated
from pipeline.tail import Key, Tail

INTERVAL_S = 0.5
SAVE_EVERY = 600
"""Rounds after which a snapshot is kept."""

log = structlog.get_logger()


class ApprovalsFollower(Repeated):
    """Reads the tail into the approvals, from what can still count on."""

    def __init__(
        self,
        tail: Tail,
        approvals: SealedApprovals,
        *,
        folder: Path,
        reach_ms: int,
        control: ControlRows,
        now_ms: NowMs,
    ) -> None:
        """`reach_ms`: how long ago an approval may be granted and still open; older rows are not read."""
        super().__init__("approvals", INTERVAL_S, at_start=True)
        self._tail = tail
        self._fold = ApprovalsFold(approvals, folder)
        self._reach_ms = reach_ms
        self._control = control
        self._now_ms = now_ms
        self._ends: dict[Key, int] | None = None
        self._rounds = 0
        self.is_ready = False

    def work(self) -> None:
        """One round; what fails is read again in the next."""
        try:
            self._follow()
        except Exception as error:  # noqa: BLE001 (without it approvals open nothing: that is the safe side)
            log.error("approvals cannot be read, will be tried again", error=type(error).__name__)
            self._ends, self.is_ready = None, False

    def _follow(self) -> None:
        self._tail.discover(self._now_ms())
        if self._ends is None:
            self._control.refresh()
            self._ends = self._tail.ends_before(self._now_ms() - self._reach_ms)
            self._fold.begin(self._ends, self._control.completed_ms())
            self._tail.begin_at(self._ends)
        for batch in self._tail.fresh(self._ends):
            self._fold.observe(batch)
            if self.stopping.is_set():
                return
        self.is_ready = True
        self._rounds += 1
        if self._rounds % SAVE_EVERY == 0:
            self._fold.save()

    def save(self) -> None:
        """Keep a snapshot of what is followed."""
        if self.is_ready:
            self._fold.save()
