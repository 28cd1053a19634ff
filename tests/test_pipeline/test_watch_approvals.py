"""The watch tells the switch of approvals: as they are sealed, and again after a restart."""

from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from support.audit import START_MS, claim, event_row, seal_batches

from pipeline.audit.store import Store
from pipeline.clock import system_now_ms
from pipeline.detect.config import DetectConfig
from pipeline.killswitch.approvals import SealedApprovals
from pipeline.killswitch.approvals_config import ApprovalsConfig
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.switch import KillSwitch
from pipeline.respond.config import StateConfig
from pipeline.respond.state import StateDatabase
from pipeline.tail import Handover, Tail
from pipeline.watch import Watch

GRANT = {"action_kind": "none", "approval_status": "granted", "approval_source": "gateway"}


class Process:
    """One life of the process over a store and a state database that stay."""

    def __init__(self, tmp_path: Path) -> None:
        state = StateDatabase(StateConfig(url=SecretStr(f"sqlite:///{tmp_path / 'state.db'}")))
        state.create_schema()
        self.approvals = SealedApprovals(ApprovalsConfig(), now_ms=lambda: START_MS + 1000)
        self.watch = Watch(
            tail=Tail(Store(tmp_path / "store"), Handover()),
            detect=DetectConfig(),
            state=state,
            switch=KillSwitch(
                KillSwitchConfig(journal=tmp_path / "journal"),
                append=cast("Any", lambda rows: []),
                read_sealed=cast("Any", lambda *_: iter(())),
            ),
            snapshots=tmp_path / "snapshots",
            on_found=lambda: None,
            now_ms=system_now_ms,
            approvals=self.approvals,
        )
        while self.watch.step():
            pass

    def usable(self, approval: str) -> bool:
        agents = frozenset({"invoice-agent"})
        return self.approvals.usable(approval, agents, "update_invoice", "production")


@pytest.mark.parametrize("is_snapshotted", [False, True])
def test_approvals_and_their_uses_outlive_a_restart(tmp_path: Path, is_snapshotted: bool) -> None:
    writer = claim(Store(tmp_path / "store"))
    granted = [event_row(n, approval_id=f"apr_{n}", **GRANT) for n in range(3)]
    seal_batches(writer, [[*granted, event_row(3, approval_id="apr_1")]])
    first = Process(tmp_path)
    assert (first.usable("apr_0"), first.usable("apr_1")) == (True, False)
    if is_snapshotted:
        first.watch._save_snapshot()
    seal_batches(writer, [[event_row(4, approval_id="apr_2")]])
    second = Process(tmp_path)
    assert (second.usable("apr_1"), second.usable("apr_2")) == (False, False)
    # What was opened before a snapshot is used up after it; a fold of the rows knows what was sealed alone.
    assert second.usable("apr_0") is not is_snapshotted


def test_a_snapshot_of_detection_without_one_of_the_approvals_opens_nothing(tmp_path: Path) -> None:
    writer = claim(Store(tmp_path / "store"))
    seal_batches(writer, [[event_row(0, approval_id="apr_0", **GRANT)]])
    Process(tmp_path).watch._save_snapshot()
    (tmp_path / "snapshots" / "approvals.bin").unlink()
    assert not Process(tmp_path).usable("apr_0")
