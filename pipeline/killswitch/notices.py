"""Tells people of what others, or the policy, did at the switch: pages that no finding makes.

A thread of its own, so that neither the switch nor detection waits for the state database. Every notice has
an id for good and whoever sends it sends each id once, so a restart that tells it again tells nobody twice.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator

import msgspec
import structlog

from detectors.remembered import Remembered
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError
from pipeline.killswitch.health import Loop
from pipeline.killswitch.policy import Decision
from pipeline.killswitch.state import DRILL_ENVIRONMENT
from pipeline.killswitch.switch import KillSwitch
from schemas.command import Command
from schemas.finding import Finding

TOLD_FOR_MS = 24 * 3_600_000
"""What is older when this process starts was told by an earlier one."""
MAX_WAITING = 1_000
POLL_S = 1.0
RETRY_S = 1.0
STOP_S = 3.0
HOUR_MS = 3_600_000

log = structlog.get_logger()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What people are told. Every text in it is redacted already."""

    id: str
    title: str
    lines: tuple[str, ...]
    environment: str
    finding_id: str | None = None
    """Not sent where this finding made a page of its own, which says the same."""


Send = Callable[[Notice], bool]
"""Takes a notice over for good, or says False: try again later. Blocking; may raise AuditfuseError."""


class Notices:
    """Follows the switch's commands, and takes what the policy decided. Thread-safe."""

    def __init__(
        self, switch: KillSwitch, send: Send, now_ms: NowMs, follows: Callable[[], bool] = lambda: True
    ) -> None:
        """`follows`: whether this host tells of the commands of others, as one of them should."""
        self._follows = follows
        self._switch = switch
        self._send = send
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._waiting: deque[Notice] = deque(maxlen=MAX_WAITING)
        self._seen = Remembered[str]()
        """Forgetting one costs a look-up: whoever sends sends each id once."""
        self._loop = Loop("killswitch-notices", self._step)

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._loop.stop(STOP_S)

    def decided(self, finding: Finding, decision: Decision) -> None:
        """Tell of a step to a harder mode, or that a limit kept a finding from tripping. Returns at once."""
        is_step = decision.action == "trip" and decision.stepped_from != "on"
        if is_step or decision.is_limited:
            self._put(_of_decision(finding, decision, self._now_ms()))

    def tell(self, notice: Notice) -> None:
        """Tell of anything else. Returns at once."""
        self._put(notice)

    def _put(self, notice: Notice) -> None:
        with self._lock:
            if self._seen.add(notice.id):
                self._waiting.append(notice)
        self._loop.wake()

    def _step(self) -> float:
        if self._follows():
            self._follow()
        with self._lock:
            waiting = list(self._waiting)
        failed = False
        for notice in waiting:
            try:
                is_taken = self._send(notice)
            except AuditfuseError as error:
                log.warning("a notice waits to be sent", error=type(error).__name__)
                return RETRY_S
            failed |= not is_taken
            if is_taken:
                with self._lock:
                    self._waiting.remove(notice)
        return RETRY_S if failed else POLL_S

    def _follow(self) -> None:
        """Take up the step-downs and reset requests that are new since the last call."""
        oldest_ms = self._now_ms() - TOLD_FOR_MS
        commands = {command.id: command for command in self._switch.commands()}
        for command in commands.values():
            if command.at_ms >= oldest_ms:
                for notice in _of_command(command, commands):
                    self._put(notice)


def _of_command(command: Command, known: dict[str, Command]) -> Iterator[Notice]:
    if command.command not in ("step_down", "reset_request"):
        return
    trips = [known[trip_id] for trip_id in command.trips if trip_id in known]
    selectors = [trip.selector for trip in trips if trip.selector is not None]
    environments = {selector.environment or "" for selector in selectors}
    if environments == {DRILL_ENVIRONMENT}:
        return
    agents = sorted({selector.agent or "every agent" for selector in selectors})
    whom = ", ".join(agents[:5]) or "an unknown trip"
    if command.command == "step_down":
        title = f"{whom}: stepped down to read_only by {command.by}: {command.reason}"
        ask = f"To lift it takes two: auditfuse killswitch reset {' '.join(command.trips)} --reason …"
    else:
        title = f"{whom}: {command.by} asks to reset to {command.mode}: {command.reason}"
        ask = f"Another person may approve: auditfuse killswitch reset --approve {command.id} --reason …"
    lines = (f"Trips: {', '.join(command.trips)}", f"By {command.by}: {command.reason}", ask)
    environment = environments.pop() if len(environments) == 1 else ""
    yield Notice(id=command.id, title=title, lines=lines, environment=environment)


def _of_decision(finding: Finding, decision: Decision, now_ms: int) -> Notice:
    whom = f"{finding.agent_id} in {finding.environment}"
    if decision.is_limited:
        # One an hour and agent says it: what a limit holds back may come every few seconds.
        return Notice(
            id=f"limit/{now_ms // HOUR_MS}/{finding.environment}/{finding.agent_id}",
            title=f"{whom}: NOT tripped: {decision.reason}",
            lines=(
                f"Found: {finding.summary}",
                f"To trip it: auditfuse killswitch trip --agent … --reason … (finding {finding.finding_id})",
            ),
            environment=finding.environment,
            finding_id=finding.finding_id,
        )
    return Notice(
        id=f"step/{finding.finding_id}",
        title=f"{whom}: stepped from {decision.stepped_from} to {decision.mode}, since it goes on",
        lines=(f"Found: {finding.summary}", f"Finding {finding.finding_id}"),
        environment=finding.environment,
        finding_id=finding.finding_id,
    )
