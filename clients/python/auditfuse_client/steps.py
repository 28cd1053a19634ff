"""The actions under way, so that the server hears for which of them a trip came too late."""

import itertools
import threading
from typing import NamedTuple

from auditfuse_client.decision import Action

MAX_REPORTED = 32
MAX_TOOL_CHARS = 200
"""Of a tool's name in a report: more is not taken, and no name may cost the lease."""
_numbers = itertools.count()
"""Of the whole process: a step begun before a fork has no number that the child gives again."""


class Step(NamedTuple):
    """An action that was begun."""

    action: Action
    tool: str | None
    began_s: float


class Steps:
    """Thread-safe."""

    def __init__(self) -> None:
        self._steps: dict[int, Step] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._steps)

    def begin(self, step: Step) -> int:
        """Note a step; `end` takes what this returns."""
        with self._lock:
            number = next(_numbers)
            self._steps[number] = step
        return number

    def end(self, number: int) -> None:
        """Forget it. A step that was begun before a fork is not known to the child."""
        with self._lock:
            self._steps.pop(number, None)

    def report(self, now_s: float) -> list[dict[str, str | int | None]]:
        """The oldest steps as a lease request names them."""
        with self._lock:
            oldest = list(itertools.islice(self._steps.values(), MAX_REPORTED))
        return [
            {
                "action": step.action,
                "tool": _short(step.tool),
                "age_ms": max(0, round((now_s - step.began_s) * 1000)),
            }
            for step in oldest
        ]


def _short(tool: str | None) -> str | None:
    return None if tool is None else tool[:MAX_TOOL_CHARS]
