"""Delivers checkpoints to anchors: each in a thread of its own, so that one that is down holds up nothing.

At least once, newest only: what an anchor missed while it was down is implied by what it gets next.
What was delivered is remembered outside the store, so that a restart neither repeats nor forgets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from pipeline import durable, metrics
from pipeline.audit.checkpoint.anchors import Send, sender
from pipeline.audit.checkpoint.config import AnchorConfig
from pipeline.audit.checkpoint.statement import Checkpoint
from pipeline.errors import AuditfuseError
from pipeline.topics.kafka_config import KafkaConfig

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 300.0
LAG_WARNING_S = 300.0
STOP_S = 20.0

log = structlog.get_logger()


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint that an anchor took."""

    size: int
    root: str


class AnchorDelivery:
    """One anchor: its thread and its memory."""

    def __init__(self, name: str, send: Send, state: Path, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self.name = name
        self._send = send
        self._memory = state / f"anchor-{name}.json"
        self._first_pause_s = first_pause_s
        self._changed = threading.Condition()
        self._newest: Checkpoint | None = None
        self._done: Checkpoint | None = None
        self._waiting_since_s: float | None = None
        self._warned_s = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"anchor-{name}", daemon=True)

    def start(self) -> None:
        """Begin to deliver what is offered."""
        self._thread.start()

    def stop(self) -> None:
        """Try once more to deliver what waits, then end; waits a bounded time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def offer(self, checkpoint: Checkpoint) -> None:
        """There is a newer checkpoint. Returns at once."""
        with self._changed:
            self._newest = checkpoint
            self._changed.notify_all()

    def deliver(self, checkpoint: Checkpoint) -> bool:
        """Send it now, unless the anchor has it: then False. Raises AnchorError, ConfigError, OSError."""
        statement = checkpoint.statement
        delivered = self.delivered()
        wanted = Delivered(size=statement.size, root=statement.root.hex())
        if delivered == wanted:
            return False
        if delivered is not None and delivered.size >= wanted.size:
            log.error(
                "an anchor has a larger checkpoint than the store: it was cut, rolled back or replaced",
                anchor=self.name,
                anchor_size=delivered.size,
                store_size=wanted.size,
            )
        self._send(checkpoint)
        durable.make_directory(self._memory.parent, 0o700)
        durable.replace_atomically(self._memory, msgspec.json.encode(wanted), 0o600)
        metrics.anchor_size.labels(self.name).set(wanted.size)
        return True

    def delivered(self) -> Delivered | None:
        """The newest checkpoint that the anchor took; None where none is known."""
        try:
            return msgspec.json.decode(self._memory.read_bytes(), type=Delivered)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while (newest := self._next()) is not None:
            if self._try(newest):
                self._done, pause_s = newest, self._first_pause_s
            elif self._stopping:
                return
            else:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, pause_s)
                pause_s = min(pause_s * 2, MAX_PAUSE_S)

    def _next(self) -> Checkpoint | None:
        """Wait for one to deliver; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._newest is not self._done)
            return None if self._newest is self._done else self._newest

    def _try(self, checkpoint: Checkpoint) -> bool:
        try:
            self.deliver(checkpoint)
        except Exception as error:  # noqa: BLE001 (a library may raise anything; its text may hold the URL)
            metrics.anchor_failures.labels(self.name).inc()
            self._report_lag(str(error) if isinstance(error, AuditfuseError) else type(error).__name__)
            return False
        self._waiting_since_s = None
        metrics.anchor_waiting_seconds.labels(self.name).set(0)
        return True

    def _report_lag(self, reason: str) -> None:
        now_s = time.monotonic()
        since_s = self._waiting_since_s = self._waiting_since_s or now_s
        metrics.anchor_waiting_seconds.labels(self.name).set(now_s - since_s)
        if since_s == now_s or now_s - self._warned_s >= LAG_WARNING_S:
            self._warned_s = now_s
            log.warning(
                "an anchor does not take checkpoints; it is tried again",
                anchor=self.name,
                waiting_s=round(now_s - since_s),
                reason=reason,
            )


def deliveries(anchors: Sequence[AnchorConfig], kafka: KafkaConfig, state: Path) -> list[AnchorDelivery]:
    """One delivery an anchor, in configured order."""
    return [AnchorDelivery(anchor.name, sender(anchor, kafka), state) for anchor in anchors]
