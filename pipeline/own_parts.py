"""What auditfuse looks at of itself: its sources, partitions, detection, journal and store.

From it come the incidents of agent auditfuse, and the heartbeat that a monitor elsewhere hears.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from pipeline.respond.heartbeat import Heartbeat
from pipeline.respond.own_faults import OwnFault, OwnFaults
from pipeline.respond.sender import Round
from pipeline.roles.detect import Detect
from pipeline.roles.ingest import Ingest
from pipeline.roles.parts import Parts
from pipeline.roles.respond import Respond

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
    """The parts of one process with all that leads to a page."""

    def __init__(
        self,
        parts: Parts,
        ingest: Ingest,
        detect: Detect,
        respond: Respond,
        readiness: Callable[[], dict[str, bool]],
    ) -> None:
        self._parts = parts
        self._ingest = ingest
        self._detect = detect
        self._respond = respond
        self._readiness = readiness
        self._lag = Lag()

    def faults(self) -> list[OwnFault]:
        """What does not work now; whether it lasts is for others to judge."""
        own = switch_faults(self._parts), store_faults(self._parts, self._respond)
        return [*self._sources(), *self._detection(), *own[0], *own[1]]

    def hindrance(self) -> str | None:
        """Why no finding can be made at all."""
        return None if self._detect.watch.is_ready else "detection does not run"

    def _sources(self) -> Iterator[OwnFault]:
        for part, is_ready in self._readiness().items():
            if part.startswith("source ") and not is_ready:
                source = part.removeprefix("source ")
                yield OwnFault("self_source_down", source, f"Source {source} is not read")
            elif part == "dead-letter topic" and not is_ready:
                yield OwnFault("self_dead_letters", "", "The dead-letter topic takes nothing", "warning")
        for name, worker in list(self._ingest.workers.items()):
            for partition in sorted(worker.halted):
                summary = f"Partition {partition} of source {name} is halted; see auditfuse gap list"
                yield OwnFault("self_halted", f"{name}/{partition}", summary)

    def _detection(self) -> Iterator[OwnFault]:
        watch = self._detect.watch
        if not watch.is_ready:
            yield OwnFault("self_detection", "", "Detection does not run: nothing is found and nothing trips")
            return
        behind_s = self._lag.seconds(dict(self._ingest.sealed_ends), watch.ends, time.monotonic())
        if behind_s > LAG_S:
            yield lagging()


def lagging() -> OwnFault:
    """Detection is too far behind."""
    return OwnFault("self_lagging", "", "Detection is more than a minute behind what is sealed")


def switch_faults(parts: Parts) -> Iterator[OwnFault]:
    """Of the kill switch of this host."""
    status = parts.switch.status()
    if not status.journal.working:
        yield OwnFault(
            "self_journal", "", "The kill switch's journal fails: a restart may forget trips that are new"
        )
    if not status.control.working:
        yield OwnFault("self_control", "", "_control fails: kill-switch commands are not recorded")


def store_faults(parts: Parts, respond: Respond) -> Iterator[OwnFault]:
    """Of what seals findings."""
    since_ms = respond.deliverer.unsealed_since_ms
    if since_ms is not None and parts.now_ms() - since_ms > UNSEALED_S * 1000:
        yield OwnFault("self_unsealed", "", "Findings cannot be sealed in the store")


def rounds_of(
    parts: Parts,
    respond: Respond,
    probe: Callable[[], Sequence[OwnFault]],
    why_blind: Callable[[], str | None] = lambda: None,
) -> tuple[Round, Round]:
    """What runs beside the delivery of a service: its own faults as incidents, and the heartbeat."""
    config, now_ms = parts.config.respond, parts.now_ms
    own = OwnFaults(parts.state, config, probe, respond.wake, now_ms)

    def hindrance() -> str | None:
        if own.checked_at_ms is None or now_ms() - own.checked_at_ms > STALE_S * 1000:
            return "the state database cannot be used"
        if (why := why_blind()) is not None:
            return why
        if own.standing:
            return own.standing[0].summary
        return respond.deliverer.hindrance()

    return own.step, Heartbeat(config.heartbeat, hindrance, now_ms).step
