"""The guard of an agent that runs in threads."""

import functools
import inspect
import time
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from auditfuse_client.core import Ask, Core, FirstAnswer, Wait
from auditfuse_client.decision import Action
from auditfuse_client.errors import Stopped
from auditfuse_client.face import Face

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Guard(Face):
    """Asks the kill switch before each action, decided locally. Thread-safe; one per process and agent."""

    def check(self, *, action: Action, tool: str | None = None, approval: str | None = None) -> None:
        """Return if the action may be done now; raise Stopped if not.

        Decided from memory within microseconds, but for an approval, which the server is asked about every
        time, and for a throttle that is waited for. Call it right before the action: what is allowed
        now may not be a second later. Raises ValueError for an unknown action.
        """
        view = self._heartbeat.view
        if self._now_s() < view.until_s and (action, tool) in view.open:
            return
        self._check(action, tool, approval)

    def step(self, *, action: Action, tool: str | None = None, approval: str | None = None) -> "UnderWay":
        """A context manager: checks, then reports the action as under way until it ends."""
        return UnderWay(self, self._core, action, tool, approval)

    def guarded(
        self, *, action: Action, tool: str | None = None
    ) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
        """A decorator: each call is a `step`. Raises TypeError for what returns before it is done."""

        def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise TypeError("an async function needs AsyncGuard")
            if inspect.isgeneratorfunction(function):
                raise TypeError("a generator runs after its call: use step inside it")

            @functools.wraps(function)
            def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
                with self.step(action=action, tool=tool):
                    return function(*args, **kwargs)

            return call

        return decorate

    def close(self) -> None:
        """Give the lease back and stop; every later check raises Stopped. Happens at exit by itself."""
        self._core.close()

    def __enter__(self) -> "Guard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, action: Action, tool: str | None, approval: str | None) -> None:
        approved = False
        while True:
            found = self._core.judge(action, tool, approval=approval, approved=approved)
            if found is None:
                return
            approved = False
            if isinstance(found, Stopped):
                raise found
            if isinstance(found, Wait):
                time.sleep(found.seconds)
            elif isinstance(found, FirstAnswer):
                self._heartbeat.tried.wait(found.seconds)
            else:
                approved = self._ask(action, tool, approval, found)

    def _ask(self, action: Action, tool: str | None, approval: str | None, ask: Ask) -> bool:
        refusal = self._core.asked(action, tool, approval or "", ask.verdict)
        if refusal is not None:
            raise refusal
        return True


class UnderWay:
    """An action that was allowed, while it is done."""

    def __init__(
        self, guard: Guard, core: Core, action: Action, tool: str | None, approval: str | None
    ) -> None:
        self._guard, self._core = guard, core
        self._action: Action = action
        self._tool, self._approval = tool, approval
        self._number = -1

    def __enter__(self) -> None:
        self._guard.check(action=self._action, tool=self._tool, approval=self._approval)
        self._number = self._core.begin(self._action, self._tool)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.end(self._number)
