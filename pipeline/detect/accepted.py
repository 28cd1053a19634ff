"""Accepted baselines: which agents' learning begins anew, and at which minute."""

from collections.abc import Iterable
from typing import Any

from detectors.remembered import Remembered
from pipeline.detect.model import Acceptance
from schemas.command import Command

EFFECT_AFTER_MS = 300_000
"""An acceptance counts from then on: later than any detection that keeps up hears of it."""


def acceptances(commands: Iterable[Command]) -> list[Acceptance]:
    """Those among the commands of `_control`."""
    return [
        Acceptance(
            command.id,
            command.selector.environment or "",
            command.selector.agent or "",
            -(-(command.at_ms + EFFECT_AFTER_MS) // 60_000),
        )
        for command in commands
        if command.command == "accept_baseline" and command.selector is not None
    ]


class Accepted:
    """Acceptances that wait for their minute; each counts once."""

    def __init__(self) -> None:
        self._known = Remembered[str]()
        self._waiting: list[Acceptance] = []

    def learn(self, said: Iterable[Acceptance]) -> None:
        """Take in those that are new."""
        self._waiting += [one for one in said if self._known.add(one.id)]
        self._waiting.sort(key=lambda one: (one.from_minute, one.id))

    def due(self, minute: int) -> list[Acceptance]:
        """Those whose minute has come, in order of time."""
        due = [one for one in self._waiting if one.from_minute <= minute]
        del self._waiting[: len(due)]
        return due

    def state(self) -> Any:
        """What a snapshot holds."""
        return {"known": list(self._known.items), "waiting": list(self._waiting)}

    def load(self, state: Any) -> None:
        """Take over a snapshot's state."""
        self._known = Remembered(state["known"])
        self._waiting = [Acceptance._make(one) for one in state["waiting"]]
