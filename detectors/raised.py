"""Findings that stand for several actions, and fall once every one of them turned out to be covered."""

from collections import OrderedDict
from typing import Any, NamedTuple

from detectors.approvals import Action, action_of
from detectors.key import Key
from detectors.window import HOUR_MS


class Standing(NamedTuple):
    """A finding by its first action, and how many of its actions nothing covers."""

    first: Action
    uncovered: int


class Raised:
    """One finding per agent and tool for an hour, or until it falls. Fed in one order, so it is a fold."""

    def __init__(self, max_actions: int) -> None:
        """Beyond `max_actions` the oldest are forgotten: their findings stand for good."""
        self._max_actions = max_actions
        self._standing: OrderedDict[str, Standing] = OrderedDict()
        """By the row of the first action."""
        self._current: OrderedDict[tuple[Key, str], str] = OrderedDict()
        self._finding_of: OrderedDict[str, str] = OrderedDict()

    def add(self, action: Action) -> bool:
        """Whether this action makes a new finding."""
        whose = (action.key, action.tool)
        name = self._current.get(whose, "")
        standing = self._standing.get(name)
        is_new = standing is None or not _stands(standing, action.due_ms)
        if standing is None or is_new:
            name, standing = action.row, Standing(action, 0)
            self._current[whose] = name
            self._current.move_to_end(whose)
        self._standing[name] = standing._replace(uncovered=standing.uncovered + 1)
        self._finding_of[action.row] = name
        for remembered in (self._finding_of, self._standing, self._current):
            if len(remembered) > self._max_actions:
                remembered.popitem(last=False)
        return is_new

    def settle(self, action: Action) -> Action | None:
        """An action is covered after all: the first action of its finding, where that was the last one."""
        name = self._finding_of.pop(action.row, "")
        standing = self._standing.get(name)
        if standing is None:
            return None
        self._standing[name] = standing._replace(uncovered=standing.uncovered - 1)
        return standing.first if standing.uncovered == 1 else None

    def state(self) -> dict[str, Any]:
        """What a snapshot holds."""
        return {
            "standing": list(self._standing.values()),
            "current": list(self._current.values()),
            "finding_of": list(self._finding_of.items()),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a snapshot's state."""
        for first, uncovered in state["standing"]:
            action = action_of(first)
            self._standing[action.row] = Standing(action, uncovered)
        for name in state["current"]:
            standing = self._standing.get(name)
            if standing is not None:
                self._current[(standing.first.key, standing.first.tool)] = name
        self._finding_of.update(state["finding_of"])


def _stands(standing: Standing, now_ms: int) -> bool:
    return standing.uncovered > 0 and now_ms < standing.first.due_ms + HOUR_MS
