"""The store that the tamper matrix attacks: small, and with one of everything that can be attacked."""

import shutil
from pathlib import Path
from typing import NamedTuple

from support.audit import TOPIC_ID, dead_letter_row, event_rows
from support.erase import eraser_of, request, settings_in
from support.fault_operations import delete_bundled
from support.stage import DAY_MS, Stage

from pipeline.audit.checkpoint.note import PublicKey
from pipeline.audit.store import CHECKPOINT, CONTROL, FINDINGS
from pipeline.audit.verify.anchors import read_anchors
from schemas.erasure import Erased

SEGMENT_ROWS = 10
SEGMENTS = 6
ERASED_TRACE, WITHOUT_PAYLOAD_TRACE = 2, 5
"""Offsets 10–19 are erased whole, 40–49 lost their payloads."""


class Trail(NamedTuple):
    """A store, who signs its checkpoints, and what was kept outside of it."""

    root: Path
    key: PublicKey
    anchors: list[bytes]
    """The newest checkpoint."""
    older: Path
    """A copy of the store as it was two checkpoints earlier."""

    def copied(self, folder: Path) -> "Trail":
        """The same with a store of its own in `folder`."""
        return self._replace(root=Path(shutil.copytree(self.root, folder / "store")))


def build_trail(folder: Path) -> Trail:
    """60 rows in six segments: the first three compacted, one trace erased, one without payloads; a bundle
    whose files are gone; rows in `_control` and `_findings`; five checkpoints."""
    folder.mkdir(parents=True)
    stage = Stage(folder)
    _seal(stage, 0, 3)
    stage.append(CONTROL, "trip-0", "trip-1")
    stage.append(FINDINGS, "finding-0", "finding-1")
    stage.sequencer().run_once()
    stage.compactor().run_once()
    stage.sequencer().run_once()
    _seal(stage, 3, SEGMENTS)
    stage.sequencer().run_once()
    older = Path(shutil.copytree(stage.root, folder / "older"))
    settings = settings_in(folder)
    erasures: list[tuple[int, Erased]] = [(ERASED_TRACE, "row"), (WITHOUT_PAYLOAD_TRACE, "payload")]
    for trace, what in erasures:
        eraser_of(settings, now_ms=stage.now_ms).execute(request(f"trace={trace:032x}", what=what))
    stage.sequencer().run_once()
    stage = Stage(folder, 8 * DAY_MS)
    stage.compactor(fan_in=100).run_once()
    stage.writer().idle(SEGMENTS * SEGMENT_ROWS + 5, stage.now_ms())
    for topic_id in (TOPIC_ID, CHECKPOINT):
        stage.tend(topic_id)
    delete_bundled(stage)()
    stage.sequencer().run_once(take_over=True)
    newest = sorted((stage.root / "checkpoints").glob("*.note"))[-1]
    return Trail(stage.root, stage.key().public, read_anchors([str(newest)]), older)


def _seal(stage: Stage, first: int, end: int) -> None:
    writer = stage.writer()
    for number in range(first, end):
        rows = event_rows(number * SEGMENT_ROWS, SEGMENT_ROWS)
        if number % 2:
            rows[-1] = dead_letter_row(rows[-1].offset)
        writer.seal(rows, rows[-1].offset + 1)
