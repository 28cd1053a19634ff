"""Checkpoints while auditfuse runs: a pass of the sequencer every interval and at the end; then anchors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from pipeline import metrics
from pipeline.audit.checkpoint.config import CheckpointConfig
from pipeline.audit.checkpoint.delivery import AnchorDelivery, deliveries
from pipeline.audit.checkpoint.key import signing_keys
from pipeline.audit.checkpoint.note import SigningKey
from pipeline.audit.checkpoint.sequencer import Pass, Sequencer
from pipeline.audit.store import Store
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError
from pipeline.repeated import Repeated
from pipeline.topics.kafka_config import KafkaConfig

LAST_PASS_S = 30.0
"""How long the end waits for the last checkpoint; the next start signs what it left."""

log = structlog.get_logger()


class Checkpoints(Repeated):
    """The sequencer's thread, and the anchors'. Without `enabled` it does nothing."""

    def __init__(
        self, store: Store, config: CheckpointConfig, keys: Path, kafka: KafkaConfig, *, now_ms: NowMs
    ) -> None:
        """`keys` is the directory of the keys."""
        super().__init__("sequencer", config.interval_s, at_start=True, at_end=True)
        self._config = config
        self._sequencer = new_sequencer(store, config, keys, now_ms=now_ms)
        self._anchors = deliveries(config.anchors, kafka, config.state)
        self._abandoned = threading.Event()

    def start(self) -> None:
        """Sign what is there, then go on at the configured interval."""
        if self._config.enabled:
            for anchor in self._anchors:
                anchor.start()
            super().start()

    def stop(self, timeout_s: float | None = LAST_PASS_S) -> None:
        """One last pass over what was logged until now, its delivery, and the end. Waits a bounded time:
        what is left then, the next start signs."""
        super().stop(timeout_s)
        self._abandoned.set()
        stopping = [threading.Thread(target=anchor.stop, daemon=True) for anchor in self._anchors]
        for one in stopping:
            one.start()
        for one in stopping:
            one.join()

    def work(self) -> None:
        """One pass; what it signed is offered to the anchors."""
        try:
            done = self._sequencer.run_once(stopping=self._abandoned.is_set)
        except Exception as error:  # noqa: BLE001 (a store can fail in any way; later passes must come)
            metrics.checkpoint_failures.inc()
            reason = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
            log.error("no checkpoint could be made; it is tried again", reason=reason)
            return
        if done.newest is not None:
            for anchor in self._anchors:
                anchor.offer(done.newest)


def new_sequencer(store: Store, config: CheckpointConfig, keys: Path, *, now_ms: NowMs) -> Sequencer:
    """The sequencer of this host. `keys` is the directory of the keys."""

    def keys_of(origin: str | None) -> Sequence[SigningKey]:
        return signing_keys(config, keys, origin)

    return Sequencer(store, keys_of, config.state, interval_s=config.interval_s, now_ms=now_ms)


def checkpoint_now(
    store: Store, config: CheckpointConfig, keys: Path, kafka: KafkaConfig, *, now_ms: NowMs
) -> tuple[Pass, dict[str, str | None]]:
    """Make a checkpoint at once, whoever else makes them, and send it to every anchor once.

    Returns what was done, and for each anchor what went wrong, None where it has the checkpoint.
    Raises ConfigError, StoreError, OSError.
    """
    done = new_sequencer(store, config, keys, now_ms=now_ms).run_once(take_over=True)
    sent: dict[str, str | None] = {}
    for anchor in deliveries(config.anchors, kafka, config.state) if done.newest else []:
        sent[anchor.name] = _send_once(anchor, done)
    return done, sent


def _send_once(anchor: AnchorDelivery, done: Pass) -> str | None:
    try:
        if done.newest is not None:
            anchor.deliver(done.newest)
    except AuditfuseError as error:
        return str(error)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
