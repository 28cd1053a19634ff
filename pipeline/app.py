"""The stages of one process, put together from its roles: what `auditfuse run` and `auditfuse ingest` start.

    topics → Ingest (prepare, seal) → Detect (fold, trip, commit) → Respond (append, page)        Control

Each role's parts are in `pipeline/roles/`. The kill switch starts first and stops last: it must work when
everything else is broken.
"""

import asyncio
from collections.abc import Sequence

from pipeline.clock import NowMs, system_now_ms
from pipeline.config import Config
from pipeline.decode.sources import SourceConfig
from pipeline.fleet_parts import FleetParts
from pipeline.own_parts import OwnParts, rounds_of
from pipeline.roles.control import Control
from pipeline.roles.detect import Detect
from pipeline.roles.ingest import Ingest
from pipeline.roles.parts import Parts
from pipeline.roles.respond import Respond
from pipeline.roles.role import ALL_ROLES, Role, RoleName
from pipeline.roles.shards import DetectShards
from pipeline.roles.supervise import Supervisor


class App:
    """Owns every part of a process; `run` lasts until `stop`."""

    def __init__(
        self,
        config: Config,
        sources: Sequence[SourceConfig],
        now_ms: NowMs = system_now_ms,
        *,
        roles: frozenset[RoleName] = ALL_ROLES,
        attempts: int | None = None,
        reshards: bool = False,
    ) -> None:
        """`attempts`: how often a part may fail before `run` raises; None: it is started again for ever.
        `reshards`: detection may take over from another number of shards."""
        self.config = config
        self.roles = roles
        self.parts = parts = Parts(config, sources, roles, now_ms)
        parts.reshards = reshards
        supervisor = Supervisor(attempts)
        self.respond = Respond(parts, supervisor) if "respond" in roles else None
        self.detect = self._new_detect(supervisor) if "detect" in roles else None
        hand_over = self.detect.hand_over if isinstance(self.detect, Detect) else None
        self.ingest = Ingest(parts, supervisor, hand_over) if "ingest" in roles else None
        self.control = Control(parts) if "control" in roles else None
        in_order: list[Role | None] = [self.ingest, self.detect, self.respond, self.control]
        self._roles: list[Role] = [role for role in in_order if role is not None]
        self._stop = asyncio.Event()

    @property
    def has_switch(self) -> bool:
        """Whether a role of this process trips, serves or tells of the kill switch."""
        return self.parts.has_state

    def stop(self) -> None:
        """Ask `run` to drain, seal and return."""
        self._stop.set()

    def readiness(self) -> dict[str, bool]:
        """What must hold before this process does its work, by name."""
        return {name: is_ready for role in self._roles for name, is_ready in role.readiness().items()}

    def conditions(self) -> dict[str, str]:
        """What does not work although the rest goes on, by name, with the reason."""
        found = {name: why for role in self._roles for name, why in role.conditions().items()}
        faults = self.parts.switch.faults() if self.has_switch else {}
        return found | {f"kill switch: {part} failing": why for part, why in faults.items()}

    def watch_itself(self) -> None:
        """Have faults of this process, or of the fleet, become incidents, and the heartbeat sent."""
        if self.respond is None:
            return
        respond, parts = self.respond, self.parts
        if isinstance(self.detect, Detect) and self.ingest is not None:
            own = OwnParts(parts, self.ingest, self.detect, respond, self.readiness)
            respond.rounds = lambda: rounds_of(parts, respond, own.faults, own.hindrance)
        else:
            fleet = FleetParts(parts, respond)
            respond.rounds = lambda: (*rounds_of(parts, respond, fleet.faults), fleet.resolve_quiet)

    async def run(self) -> None:
        """Run every role until `stop`; then drain in the order of the flow."""
        self._start()
        done, running = self._stop, list[asyncio.Task[None]]()
        for role in self._roles:
            ended = asyncio.Event()
            running.append(asyncio.create_task(self._run(role, done, ended)))
            done = ended
        try:
            await asyncio.gather(*running)
        finally:
            self.stop()
            await asyncio.gather(*running, return_exceptions=True)
            self._close()

    async def _run(self, role: Role, done: asyncio.Event, ended: asyncio.Event) -> None:
        try:
            await role.run(done)
        except BaseException:
            self.stop()
            raise
        finally:
            ended.set()

    def _start(self) -> None:
        if self.has_switch:
            self.parts.notices.start()
        if self.respond is not None or self.control is not None:
            self.parts.companion.start()
        for role in self._roles:
            role.start()

    def _close(self) -> None:
        for role in self._roles:
            role.close()
        if self.has_switch:
            self.parts.notices.stop()
        if self.respond is not None or self.control is not None:
            self.parts.companion.stop()
        if self.has_switch:
            self.parts.state.close()

    def _new_detect(self, supervisor: Supervisor) -> Detect | DetectShards:
        if self.parts.shards is None:
            return Detect(self.parts, self._tell)
        return DetectShards(self.parts, supervisor, self._tell)

    def _tell(self) -> None:
        """Something was found."""
        if self.respond is not None:
            self.respond.wake()
            self.parts.companion.begin()
