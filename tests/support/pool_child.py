"""A preparation for tests of the pool, importable by spawned processes."""

import os
import signal
from pathlib import Path

from support.audit import event_row

from pipeline.prepare import Batch
from schemas.record import Row


class DyingOnce:
    """Kills its process at its first batch; whoever replaces it does the work."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def load(self) -> None:
        """Nothing to load."""

    def __call__(self, batch: Batch) -> list[Row]:
        if not self._marker.exists():
            self._marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [event_row(message.offset) for message in batch.messages]


def build_dying(marker: Path) -> DyingOnce:
    return DyingOnce(marker)
