"""The demo's agents: they send what they do to auditfuse, and ask the kill switch before they do it."""

import json
import random
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from pipeline.generate.agents import READ_TOOLS, REFUSED_TOOL, WRITE_TOOL, Agent, Session, Tool
from pipeline.generate.stream import native_json
from schemas.event import Event

Until = Callable[[], bool]
TIMEOUT_S = 5.0


class DemoAgent:
    """One agent. `obeys` says whether it asks the kill switch before each step."""

    def __init__(self, agent: Agent, *, events_url: str, flags_url: str, obeys: bool, seed: int) -> None:
        self.agent = agent
        self.obeys = obeys
        self.sent: list[Event] = []
        self._events_url = events_url
        self._flags_url = flags_url
        self._source = random.Random(seed)  # noqa: S311 (a simulation)
        self._session = Session(self._source, agent)

    def healthy(self, calls: int, per_second: float) -> None:
        """Ordinary work: mostly reads, now and then an entry in the ledger."""
        for number in range(calls):
            self.step(WRITE_TOOL if number % 12 == 11 else READ_TOOLS[number % len(READ_TOOLS)])
            time.sleep(1 / per_second)

    def burst(self, seconds: float, per_second: float, until: Until) -> int:
        """Write as fast as it can. Returns how many entries it wrote."""
        return self._repeat(seconds, per_second, until, WRITE_TOOL)

    def fail(self, seconds: float, per_second: float, until: Until) -> int:
        """Read from a system that is down."""
        return self._repeat(
            seconds, per_second, until, READ_TOOLS[0], error_type="ConnectionError", http_status=503
        )

    def probe(self, seconds: float, per_second: float, until: Until) -> int:
        """Try again and again what it has no right to."""
        return self._repeat(
            seconds, per_second, until, REFUSED_TOOL, error_type="PermissionDenied", http_status=403
        )

    def step(self, tool: Tool, **outcome: Any) -> bool:
        """One tool call, unless the kill switch says no. Returns whether it was made."""
        if self.obeys and not self.may(tool):
            return False
        event = self._session.call(self._source, int(time.time() * 1000), tool, **outcome)
        self._post(self._events_url, native_json(event))
        self.sent.append(event)
        return True

    def may(self, tool: Tool) -> bool:
        """Ask by OFREP, as any OpenFeature SDK does. No answer means no."""
        flag = {"write": "agent.write", "external": "agent.external"}.get(tool.kind, "agent.enabled")
        context = {
            "targetingKey": self.agent.agent_id,
            "environment": self.agent.environment,
            "tool": tool.name,
        }
        try:
            answer = self._post(f"{self._flags_url}/{flag}", json.dumps({"context": context}).encode())
        except OSError:
            return False
        return json.loads(answer).get("value") is True

    def _repeat(self, seconds: float, per_second: float, until: Until, tool: Tool, **outcome: Any) -> int:
        """Make one call after the other until told to stop, `until` holds, or the time is over."""
        deadline = time.monotonic() + seconds
        done = 0
        while time.monotonic() < deadline and not until() and self.step(tool, **outcome):
            done += 1
            time.sleep(1 / per_second)
        return done

    def _post(self, url: str, body: bytes) -> bytes:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 (loopback)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return response.read()
