"""One check, step by step, without waiting: what `Guard` and `AsyncGuard` share."""

import math
from typing import Literal, NamedTuple

from auditfuse_client import calls
from auditfuse_client.answers import AnswerError
from auditfuse_client.calls import Identity
from auditfuse_client.decision import ACTIONS, RANK, Action, Mode, Verdict, decide
from auditfuse_client.errors import CallError, Stopped
from auditfuse_client.heartbeat import Heartbeat, View
from auditfuse_client.lease import Clock
from auditfuse_client.link import Link, Server
from auditfuse_client.pace import Pace
from auditfuse_client.status import Status, TripStatus
from auditfuse_client.steps import Step

MAX_REMEMBERED = 4096
LOOK_AGAIN_S = 0.25
"""Who waits for the pace looks at the state again at least so often."""

_WORDS: dict[Mode, str] = {
    "on": "",
    "throttle": "may act only now and then",
    "approval": "may write or act outside only with an approval",
    "read_only": "may only read",
    "off": "may do nothing",
}


class Options(NamedTuple):
    """What the user of a guard chose."""

    reads: Literal["allow", "deny"]
    throttled: Literal["wait", "raise"]
    first_wait_s: float
    timeout_s: float


class Wait(NamedTuple):
    """Ask again in so many seconds."""

    seconds: float


class FirstAnswer(NamedTuple):
    """Ask again when the first request has its answer, or after so many seconds."""

    seconds: float


class Ask(NamedTuple):
    """Only the server knows whether this approval opens the action."""

    verdict: Verdict


class Core:
    """The decisions of one guard."""

    def __init__(
        self, server: Server, me: Identity, options: Options, heartbeat: Heartbeat, clock: Clock
    ) -> None:
        self.heartbeat = heartbeat
        self.me = me
        self.options = options
        self._server, self._clock = server, clock
        self._pace = Pace()
        self._began_s = clock()
        """When the first request was made."""

    def restart(self) -> None:
        """In a forked child: everything anew."""
        self.heartbeat.restart()
        self._pace = Pace()

    def start(self) -> None:
        """Start what renews the lease, unless it runs."""
        if self.heartbeat.start():
            self._began_s = self._clock()

    def judge(
        self, action: Action, tool: str | None, *, approval: str | None, approved: bool = False
    ) -> Stopped | Wait | FirstAnswer | Ask | None:
        """None: go. `approved`: the server has just said yes to the approval. Raises ValueError."""
        if action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}, not {action!r}")
        if self.heartbeat.is_closed:
            return Stopped("this guard was closed", cause="closed", mode="off")
        self.start()
        now_s, view = self._clock(), self.heartbeat.view
        wait_s = self._began_s + self.options.first_wait_s - now_s
        if not self.heartbeat.tried.is_set() and wait_s > 0:
            return FirstAnswer(wait_s)
        verdict = decide(view.trips, action, tool)
        refusal = self._refusal(view, verdict, action, tool, now_s)
        if refusal is not None:
            return refusal
        if approved:
            return None  # its turn was taken before it was asked about
        if verdict.says == "approval" and not approval:
            return self._stopped(verdict, action, tool, "approval")
        waits = self._at_pace(view, verdict, action, tool, now_s)
        return Ask(verdict) if waits is None and verdict.says == "approval" else waits

    def asked(self, action: Action, tool: str | None, approval: str, verdict: Verdict) -> Stopped | None:
        """Ask the server about an approval; blocks. None: it says yes."""
        link = Link(self._server, self._clock)
        try:
            if calls.approves(link, self.me, action, tool, approval, self.options.timeout_s):
                return None
            why = "the server does not know this approval for it"
        except (CallError, AnswerError) as error:
            why = f"the approval could not be asked for: {error}"
        finally:
            link.close()
        trip = verdict.trip.id if verdict.trip else None
        return Stopped(f"{self._what(action, tool)}: {why}", cause="approval", mode=verdict.mode, trip=trip)

    def close(self) -> None:
        """Stop renewing and give the lease back; blocks for at most a few seconds."""
        self.heartbeat.close()

    def status(self) -> Status:
        """What is known and enforced now."""
        beat, now_s = self.heartbeat, self._clock()
        view = beat.view
        return Status(
            agent=self.me.agent,
            client=beat.client,
            leased=now_s < view.until_s,
            lease_left_s=view.until_s - now_s if math.isfinite(view.until_s) else None,
            trips=tuple(TripStatus(trip.id, trip.mode, trip.tool) for trip in view.trips),
            digest=view.lease.digest,
            host=view.lease.host,
            streaming=beat.is_following,
            under_way=len(beat.steps),
            last_error=beat.last_error,
        )

    def begin(self, action: Action, tool: str | None) -> int:
        """Note an action as under way."""
        return self.heartbeat.steps.begin(Step(action, tool, self._clock()))

    def end(self, number: int) -> None:
        """It has ended."""
        self.heartbeat.steps.end(number)

    def _refusal(
        self, view: View, verdict: Verdict, action: Action, tool: str | None, now_s: float
    ) -> Stopped | None:
        if verdict.says == "no":
            return self._stopped(verdict, action, tool, "trip")
        if now_s < view.until_s or (action == "read" and self.options.reads == "allow"):
            return None
        least: Mode = "read_only" if self.options.reads == "allow" else "off"
        mode = max(verdict.mode, least, key=RANK.__getitem__)
        error = self.heartbeat.last_error or "no answer yet"
        ended = (
            f"the lease ended {now_s - view.until_s:.1f} s ago"
            if math.isfinite(view.until_s)
            else "there is no lease"
        )
        text = f"{self._what(action, tool)}: {ended}, the kill switch is not heard ({error})"
        return Stopped(text, cause="no lease", mode=mode, trip=verdict.trip.id if verdict.trip else None)

    def _at_pace(
        self, view: View, verdict: Verdict, action: Action, tool: str | None, now_s: float
    ) -> Stopped | Wait | None:
        if not verdict.paced:
            if verdict.says == "yes" and len(view.open) < MAX_REMEMBERED:
                view.open.add((action, tool))
            return None
        wait_s = self._pace.take(verdict.paced, now_s)
        if wait_s <= 0:
            return None
        if self.options.throttled == "wait":
            return Wait(min(wait_s, LOOK_AGAIN_S))
        return self._stopped(verdict, action, tool, "throttled", wait_s)

    def _stopped(
        self,
        verdict: Verdict,
        action: Action,
        tool: str | None,
        cause: Literal["trip", "throttled", "approval"],
        retry_after_s: float | None = None,
    ) -> Stopped:
        trip = verdict.trip.id if verdict.trip else None
        text = f"{self._what(action, tool)}: by the trip {trip} ({verdict.mode}) it {_WORDS[verdict.mode]}"
        if retry_after_s is not None:
            text += f", next in {retry_after_s:.1f} s"
        return Stopped(text, cause=cause, mode=verdict.mode, trip=trip, retry_after_s=retry_after_s)

    def _what(self, action: Action, tool: str | None) -> str:
        with_tool = f" with {tool}" if tool else ""
        return f"{self.me.agent} may not {_VERBS[action]}{with_tool} now"


_VERBS: dict[Action, str] = {"read": "read", "write": "write", "external": "act outside"}
