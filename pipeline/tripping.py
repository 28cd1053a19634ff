"""From findings to trips: the part of the watch that asks the policy and tells the switch."""

from collections.abc import Collection

import msgspec

from pipeline import metrics
from pipeline.clock import NowMs
from pipeline.detect.model import Found, Trip
from pipeline.detect.trips import trip_of
from pipeline.killswitch.enforcement import Report
from pipeline.killswitch.notices import Notices
from pipeline.killswitch.policy import began_ms_of, decide
from pipeline.killswitch.policy_config import ACTING_AFTER_TRIP
from pipeline.killswitch.state import SwitchState
from pipeline.killswitch.switch import KillSwitch
from schemas.finding import Finding


class Tripping:
    """Trips by what was found, and knows which trips detection has not been told of."""

    def __init__(self, switch: KillSwitch, notices: Notices | None, now_ms: NowMs) -> None:
        """`notices` tells people of steps, and of what a limit kept from tripping."""
        self._switch = switch
        self._notices = notices
        self._now_ms = now_ms
        self._told: dict[str, Trip] = {}
        self._seen: tuple[SwitchState | None, int] = (None, 0)
        """The switch, and the number of agents, that trips were last read with."""

    def trip(self, found: Found, known_agents: int) -> str:
        """Trip if the policy says so; what was decided, in words for the page."""
        finding_id = found.finding.finding_id
        self._report(found.finding)
        history = self._switch.history()
        for past in history:
            if past.finding_id == finding_id:
                # Found again: what was to be committed with the trip was not.
                done = "tripped and lifted since" if past.mode == "on" else f"tripped to {past.mode}"
                return f"{done} ({past.trip_id})"
        decision = decide(
            found.finding,
            late=found.late,
            history=history,
            known_agents=known_agents,
            now_ms=self._now_ms(),
            config=self._switch.config.auto_trip,
            began_ms=began_ms_of(found.finding, found.evidence),
        )
        metrics.trip_decisions.labels(decision.action).inc()
        done = (
            f"shadow: {decision.reason}" if decision.action == "shadow" else f"not tripped: {decision.reason}"
        )
        if decision.action == "trip":
            command = self._switch.trip(
                decision.selector,
                decision.mode,
                by="auditfuse",
                reason=decision.reason,
                finding_id=finding_id,
                automatic=True,
            )
            done = f"tripped to {decision.mode} ({command.id})"
        if self._notices is not None:
            self._notices.decided(found.finding, decision)
        return done

    def fresh(self, agents: Collection[str]) -> list[Trip]:
        """Trips that were made or loosened since the last call. `agents`: those that detection knows."""
        seen = self._switch.state, len(agents)
        if seen[0] is self._seen[0] and seen[1] == self._seen[1]:
            return []
        self._seen = seen
        redacted = [agent for agent in agents if "<" in agent]
        trips = [self._with_stored_names(trip_of(one), redacted) for one in self._switch.timelines()]
        changed = [trip for trip in trips if self._told.get(trip.trip_id) != trip]
        self._told |= {trip.trip_id: trip for trip in changed}
        return changed

    def forget(self) -> None:
        """Detection begins anew: it knows of no trip."""
        self._told, self._seen = {}, (None, 0)

    def _report(self, finding: Finding) -> None:
        """An action against a trip is the proof that it is not enforced, whatever clients say."""
        trip_id = finding.facts.get("trip_id")
        if finding.detector == ACTING_AFTER_TRIP and "source" not in finding.key and isinstance(trip_id, str):
            report = Report(source=ACTING_AFTER_TRIP, verdict="not enforced", detail=finding.summary)
            self._switch.leases.report(trip_id, report)

    def _with_stored_names(self, trip: Trip, redacted: Collection[str]) -> Trip:
        """A person trips an agent by the name that it calls itself; its rows have that name redacted."""
        name = trip.selector.agent
        if name is None or "<" in name:
            return trip
        stored = sorted(agent for agent in redacted if self._switch.is_stored_as(agent, name))
        return msgspec.structs.replace(trip, stored_as=tuple(stored))
