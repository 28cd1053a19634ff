"""Processes full of agents that ask the client before every action and tell when its answer changes.

Each agent is a `Guard` of its own, with its own lease, threads and connections; one loop asks for all agents
of a process every few milliseconds. All times are nanoseconds of the leases' clock, one for all processes.
"""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from auditfuse_client.lease import boottime_s

SWEEP_S = 0.005
EVENT_TIMEOUT_S = 60.0
ENVIRONMENT = "prod"
TOOL = "refund"


class Change(NamedTuple):
    """An agent whose check has come out another way, or for another cause, than the time before."""

    agent: str
    allowed: bool
    at_ns: int
    """When the check that came out so was asked for."""
    last_asked_ns: int
    """When the last action allowed before was asked for; 0 where none was."""
    last_done_ns: int
    """When that check had returned: what comes after it is the action."""
    lease_end_ns: int
    """The end of the client's lease as it knew it at the change."""
    cause: str


def now_ns() -> int:
    """The clock of everything here."""
    return round(boottime_s() * 1e9)


class Agents:
    """One process of agents, seen from outside."""

    def __init__(
        self,
        url: str,
        names: list[str],
        *,
        stream: bool = True,
        wrong_clock: bool = False,
        token: str | None = None,
    ) -> None:
        self.names = names
        self._changes: list[Change] = []
        self._changed = threading.Condition()
        order = {"url": url, "names": names, "stream": stream, "wrong_clock": wrong_clock, "token": token}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.kill_agents", json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def changes(self, since_ns: int = 0) -> list[Change]:
        """All changes at or after a moment, in their order."""
        with self._changed:
            return [change for change in self._changes if change.at_ns >= since_ns]

    def latest(self) -> dict[str, Change]:
        """The last change of each agent."""
        with self._changed:
            return {change.agent: change for change in self._changes}

    def wait(self, holds: Callable[[Change], bool], timeout_s: float = EVENT_TIMEOUT_S) -> None:
        """Wait until the last change of every agent is such a one. Raises TimeoutError."""
        with self._changed:

            def all_hold() -> bool:
                latest = {change.agent: change for change in self._changes}
                return latest.keys() >= {*self.names} and all(map(holds, latest.values()))

            if not self._changed.wait_for(all_hold, timeout_s):
                raise TimeoutError(f"not every agent of {self.names[0]}… got there in {timeout_s:g} s")

    def wait_allowed(self, timeout_s: float = EVENT_TIMEOUT_S) -> None:
        """Wait until every agent may act."""
        self.wait(lambda change: change.allowed, timeout_s)

    def wait_refused(self, cause: str, timeout_s: float = EVENT_TIMEOUT_S) -> None:
        """Wait until no agent may act, for this cause."""
        self.wait(lambda change: change.cause == cause, timeout_s)

    def leases_lost(self) -> int:
        """How often an agent was refused because its lease had ended."""
        return sum(change.cause == "no lease" and change.last_asked_ns > 0 for change in self.changes())

    def stop(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._changes.append(Change(*json.loads(line)))
                self._changed.notify_all()


@contextmanager
def agents_of(url: str, processes: int, each: int, **options: Any) -> Iterator[list[Agents]]:
    """So many processes of so many agents each, all of them allowed to act; ended with the block."""
    started = [
        Agents(url, [f"agent-{process}-{number}" for number in range(each)], **options)
        for process in range(processes)
    ]
    try:
        for agents in started:
            agents.wait_allowed()
        yield started
    finally:
        for agents in started:
            agents.end()


class _Acting:
    """One agent inside its process."""

    def __init__(self, name: str, order: dict[str, Any]) -> None:
        from auditfuse_client import Guard

        self._name = name
        self._guard = Guard(
            order["url"], agent=name, environment=ENVIRONMENT, stream=order["stream"], token=order["token"]
        )
        self._said: tuple[bool, str] | None = None
        self._last = (0, 0)

    def act(self) -> None:
        """Ask once; tell if the answer is another than before."""
        from auditfuse_client import Stopped

        asked_ns = now_ns()
        try:
            self._guard.check(action="write", tool=TOOL)
            last, allowed, cause = (asked_ns, now_ns()), True, ""
        except Stopped as stopped:
            last, allowed, cause = self._last, False, stopped.cause
        if (allowed, cause) != self._said:
            self._said = (allowed, cause)
            end_ns = now_ns() + round((self._guard.status().lease_left_s or 0.0) * 1e9)
            print(json.dumps(Change(self._name, allowed, asked_ns, *self._last, end_ns, cause)), flush=True)
        self._last = last


def make_clock_wrong() -> None:
    """Make this process's wall clock jump between an hour too slow and an hour too fast at every look."""
    right, right_ns, turn = time.time, time.time_ns, [1]

    def skew_s() -> int:
        turn[0] = -turn[0]
        return 3600 * turn[0]

    time.time = lambda: right() + skew_s()
    time.time_ns = lambda: right_ns() + skew_s() * 10**9


def main(order: dict[str, Any]) -> None:
    """Act until the standard input ends."""
    logging.getLogger("auditfuse_client").setLevel(logging.CRITICAL)  # here they are cut off on purpose
    if order["wrong_clock"]:
        make_clock_wrong()
    acting = [_Acting(name, order) for name in order["names"]]
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    while not ended.wait(SWEEP_S):
        for agent in acting:
            agent.act()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
