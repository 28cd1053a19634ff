"""Runs the actuators: a thread each, so that none delays another, and none the switch."""

import threading
import time
from collections.abc import Callable

import structlog

from pipeline import metrics
from pipeline.clock import NowMs, system_now_ms
from pipeline.killswitch.actuators import command, webhook
from pipeline.killswitch.actuators.config import ActuatorConfig
from pipeline.killswitch.actuators.journal import ActuatorJournal
from pipeline.killswitch.actuators.ledger import ActuatorStatus, Entry, Ledger, State
from pipeline.killswitch.actuators.order import Attempt, Order
from pipeline.killswitch.enforcement import Report
from pipeline.killswitch.health import Loop, fault_of
from pipeline.killswitch.notices import Notice
from pipeline.killswitch.state import SwitchState
from pipeline.killswitch.switch import KillSwitch

POLL_S = 1.0
STOP_S = 2.0

log = structlog.get_logger()


class Actuators:
    """All actuators of one host. Thread-safe."""

    def __init__(
        self,
        switch: KillSwitch,
        *,
        tell: Callable[[Notice], None] | None = None,
        now_ms: NowMs = system_now_ms,
    ) -> None:
        """`tell` is called for an order that was not carried out."""
        self._running = [_Running(one, switch, tell, now_ms) for one in switch.config.actuators]
        switch.actuators = self.statuses

    def start(self) -> None:
        """Go on from the journal. Raises ConfigError for a missing secret."""
        for one in self._running:
            one.start()

    def stop(self) -> None:
        """Stop; what is under way is asked again by the next process."""
        for one in self._running:
            one.stop()

    def standing(self, trip_id: str) -> list[tuple[str, State]]:
        """(actuator, state) of those that act on a trip."""
        return [(status.actuator, status.state) for status in self.statuses() if status.trip == trip_id]

    def statuses(self) -> list[ActuatorStatus]:
        """Every trip at every actuator, releases that are not acknowledged included."""
        return [status for one in self._running for status in one.statuses]


class _Running:
    """One actuator. Its loop follows the switch and never waits for an attempt, which has a thread of its
    own: a trip counts as asked from the moment it is served."""

    def __init__(
        self,
        config: ActuatorConfig,
        switch: KillSwitch,
        tell: Callable[[Notice], None] | None,
        now_ms: NowMs,
    ) -> None:
        self._config = config
        self._switch = switch
        self._tell = tell
        self._now_ms = now_ms
        self._journal = ActuatorJournal(switch.config.journal, config.name)
        self._ledger = Ledger(config)
        self._lock = threading.Lock()
        """Guards the ledger."""
        self._attempting: threading.Thread | None = None
        self._is_dirty = False
        self._seen: tuple[SwitchState | None, bool] = (None, False)
        self._loop = Loop(f"actuator-{config.name}", self._step)
        self.statuses: tuple[ActuatorStatus, ...] = ()

    def start(self) -> None:
        if self._config.kind == "webhook":
            self._config.secret()
        self._ledger = Ledger(self._config, self._journal.load())
        self._switch.subscribe(self._loop.wake)
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop(STOP_S)

    def _step(self) -> float:
        """One round; returns how long to pause."""
        self._follow()
        for entry in self._ledger_judged():
            log.error("NOT enforced by an actuator", actuator=self._config.name, trip=entry.trip.id)
            if self._tell is not None:
                self._tell(_notice(self._config.name, entry))
        self._publish()
        # Before an attempt: who dies in the middle of it must know later what there is to release.
        self._save()
        attempting = self._attempting
        if attempting is not None and attempting.is_alive():
            return POLL_S
        with self._lock:
            entry = self._ledger.due(time.monotonic())
            next_s = self._ledger.next_s()
        if entry is not None:
            self._attempting = threading.Thread(target=self._attempt, args=(entry,), daemon=True)
            self._attempting.start()
            return POLL_S
        return POLL_S if next_s is None else min(max(next_s - time.monotonic(), 0.0), POLL_S)

    def _follow(self) -> None:
        seen = self._switch.state, self._switch.caught_up
        if seen[0] is self._seen[0] and seen[1] == self._seen[1]:
            return
        known = {timeline.trip.id: timeline for timeline in self._switch.timelines()}
        with self._lock:
            self._is_dirty |= self._ledger.follow(seen[0], known, self._now_ms(), is_complete=seen[1])
        self._seen = seen

    def _ledger_judged(self) -> list[Entry]:
        with self._lock:
            failed = self._ledger.judge(self._now_ms())
            self._is_dirty |= bool(failed)
        return failed

    def _attempt(self, entry: Entry) -> None:
        with self._lock:
            order, status_url = self._ledger.order(entry, self._switch.state), entry.status_url
            serial = entry.serial
        attempt = self._ask(order, status_url)
        metrics.actuator_attempts.labels(self._config.name, attempt.outcome).inc()
        if attempt.outcome == "failed":
            log.error("actuator failed", actuator=self._config.name, trip=order.trip, fault=attempt.detail)
        else:
            log.warning("actuator answered", actuator=self._config.name, trip=order.trip, mode=order.mode)
        with self._lock:
            self._ledger.record(entry, serial, attempt, time.monotonic())
            self._is_dirty = True
            self._attempting = None
        self._loop.wake()

    def _ask(self, order: Order, status_url: str | None) -> Attempt:
        try:
            if self._config.kind == "command":
                return command.run(self._config, order)
            if status_url is not None:
                return webhook.ask(self._config, order.id, status_url)
            return webhook.send(self._config, order)
        except Exception as error:  # noqa: BLE001 (whatever it is: it is a failed attempt, and said so)
            return Attempt(outcome="failed", detail=fault_of(error))

    def _save(self) -> None:
        if self._is_dirty:
            with self._lock:
                content = self._journal.encode(self._ledger.entries.values())
                self._is_dirty = False
            self._journal.save(content)

    def _publish(self) -> None:
        """Tell the switch how its trips stand here, and whoever asks."""
        with self._lock:
            self.statuses = tuple(entry.status(self._config.name) for entry in self._ledger.entries.values())
        for status in self.statuses:
            if status.wanted != "on":
                report = Report(
                    source=f"actuator {status.actuator}", verdict=status.state, detail=status.detail
                )
                self._switch.leases.report(status.trip, report)
        failing = sum(status.state == "not enforced" for status in self.statuses)
        metrics.actuator_failing.labels(self._config.name).set(failing)


def _notice(name: str, entry: Entry) -> Notice:
    done = "released" if entry.wanted == "on" else f"put to {entry.wanted}"
    selector = entry.trip.selector
    whom = (selector.agent if selector else None) or "every agent"
    return Notice(
        id=f"actuator/{name}/{entry.trip.id}/{entry.serial}",
        title=f"{whom}: NOT {done} by the actuator {name}: {entry.detail or 'no answer'}",
        lines=(
            f"Trip {entry.trip.id}, {entry.attempts} failed attempts; it is tried on.",
            "The flags are served all the same. See: auditfuse killswitch status",
        ),
        environment=(selector.environment if selector else None) or "",
    )
