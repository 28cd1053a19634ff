"""What auditfuse looks at of itself: its sources, partitions, detection, journal and store.

From it come the incidents of agent auditfuse, and the heartbeat that a monitor elsewhere hears.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.clock import NowMs
from pipeline.respond.heartbeat import Heartbeat
from pipeline.respond.own_faults import OwnFault, OwnFaults
from pipeline.respond.sender import Round

if TYPE_CHECKING:
    from pipeline.app import App

LAG_S = 60.0
"""Detection may be so far behind what is sealed."""
UNSEALED_S = 60.0
STALE_S = 60.0
"""A look at the parts that is older says nothing."""
SAMPLE_INTERVAL_S = 5.0
_SAMPLES = 256

Ends = Mapping[tuple[str, int], int]
"""(topic id, partition) → offset."""


class Lag:
    """How long ago what detection has reached was sealed: a stream that never rests is not behind."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[tuple[str, int], int]]] = deque(maxlen=_SAMPLES)

    def seconds(self, sealed: Ends, seen: Ends, now_s: float) -> float:
        """The age of the oldest sealed end that detection has not reached."""
        if not self._samples or now_s - self._samples[-1][0] >= SAMPLE_INTERVAL_S:
            self._samples.append((now_s, dict(sealed)))
        while self._samples and all(seen.get(key, 0) >= end for key, end in self._samples[0][1].items()):
            self._samples.popleft()
        return now_s - self._samples[0][0] if self._samples else 0.0


class OwnParts:
    """The parts of one running app."""

    def __init__(self, app: "App", now_ms: NowMs) -> None:
        self._app = app
        self._now_ms = now_ms
        self._lag = Lag()

    def faults(self) -> list[OwnFault]:
        """What does not work now; whether it lasts is for others to judge."""
        return [*self._sources(), *self._detection(), *self._switch(), *self._store()]

    def _sources(self) -> Iterator[OwnFault]:
        for part, is_ready in self._app.readiness().items():
            if part.startswith("source ") and not is_ready:
                source = part.removeprefix("source ")
                yield OwnFault("self_source_down", source, f"Source {source} is not read")
            elif part == "dead-letter topic" and not is_ready:
                yield OwnFault("self_dead_letters", "", "The dead-letter topic takes nothing", "warning")
        for name, worker in list(self._app.workers.items()):
            for partition in sorted(worker.halted):
                summary = f"Partition {partition} of source {name} is halted; see auditfuse gap list"
                yield OwnFault("self_halted", f"{name}/{partition}", summary)

    def _detection(self) -> Iterator[OwnFault]:
        app = self._app
        if not app.watch.is_ready:
            yield OwnFault("self_detection", "", "Detection does not run: nothing is found and nothing trips")
            return
        behind_s = self._lag.seconds(dict(app.sealed_ends), app.watch.ends, time.monotonic())
        if behind_s > LAG_S:
            yield OwnFault("self_lagging", "", "Detection is more than a minute behind what is sealed")

    def _switch(self) -> Iterator[OwnFault]:
        status = self._app.switch.status()
        if not status.journal.working:
            yield OwnFault(
                "self_journal", "", "The kill switch's journal fails: a restart may forget trips that are new"
            )
        if not status.control.working:
            yield OwnFault("self_control", "", "_control fails: kill-switch commands are not recorded")

    def _store(self) -> Iterator[OwnFault]:
        since_ms = self._app.deliverer.unsealed_since_ms
        if since_ms is not None and self._now_ms() - since_ms > UNSEALED_S * 1000:
            yield OwnFault("self_unsealed", "", "Findings cannot be sealed in the store")


def rounds_of(app: "App", now_ms: NowMs) -> tuple[Round, Round]:
    """What runs beside the delivery of a service: its own faults as incidents, and the heartbeat."""
    respond = app.config.respond
    own = OwnFaults(app.state, respond, OwnParts(app, now_ms).faults, app.deliverer.wake, now_ms)

    def hindrance() -> str | None:
        if own.checked_at_ms is None or now_ms() - own.checked_at_ms > STALE_S * 1000:
            return "the state database cannot be used"
        if not app.watch.is_ready:
            return "detection does not run"
        if own.standing:
            return own.standing[0].summary
        return app.deliverer.hindrance()

    return own.step, Heartbeat(respond.heartbeat, hindrance, now_ms).step
