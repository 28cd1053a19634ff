"""The guard of an agent that runs on asyncio.

Its lease is renewed by the same threads as `Guard`'s, so a busy event loop neither loses the lease nor misses
a trip; no call here blocks the loop.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from auditfuse_client.core import Core, FirstAnswer, Wait
from auditfuse_client.decision import Action
from auditfuse_client.errors import Stopped
from auditfuse_client.face import Face

_P = ParamSpec("_P")
_R = TypeVar("_R")

_LOOK_S = 0.01
"""How often the first answer is looked for, while it is waited for."""


class AsyncGuard(Face):
    """Asks the kill switch before each action, decided locally. One per process and agent, for any loop."""

    async def check(self, *, action: Action, tool: str | None = None, approval: str | None = None) -> None:
        """As `Guard.check`, without blocking the loop."""
        view = self._heartbeat.view
        if self._now_s() < view.until_s and (action, tool) in view.open:
            return
        await self._check(action, tool, approval)

    def step(
        self, *, action: Action, tool: str | None = None, approval: str | None = None
    ) -> "AsyncUnderWay":
        """An async context manager: checks, then reports the action as under way until it ends."""
        return AsyncUnderWay(self, self._core, action, tool, approval)

    def guarded(
        self, *, action: Action, tool: str | None = None
    ) -> Callable[[Callable[_P, Awaitable[_R]]], Callable[_P, Awaitable[_R]]]:
        """A decorator: each call of the async function is a `step`. Raises TypeError for another function."""

        def decorate(function: Callable[_P, Awaitable[_R]]) -> Callable[_P, Awaitable[_R]]:
            if not inspect.iscoroutinefunction(function):
                raise TypeError("only an async function can be guarded by AsyncGuard")

            @functools.wraps(function)
            async def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
                async with self.step(action=action, tool=tool):
                    return await function(*args, **kwargs)

            return call

        return decorate

    async def close(self) -> None:
        """Give the lease back and stop; every later check raises Stopped. Happens at exit by itself."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> "AsyncGuard":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _check(self, action: Action, tool: str | None, approval: str | None) -> None:
        approved = False
        while True:
            found = self._core.judge(action, tool, approval=approval, approved=approved)
            if found is None:
                return
            approved = False
            if isinstance(found, Stopped):
                raise found
            if isinstance(found, Wait):
                await asyncio.sleep(found.seconds)
            elif isinstance(found, FirstAnswer):
                await asyncio.sleep(min(_LOOK_S, found.seconds))
            else:
                refusal = await asyncio.to_thread(
                    self._core.asked, action, tool, approval or "", found.verdict
                )
                if refusal is not None:
                    raise refusal
                approved = True


class AsyncUnderWay:
    """An action that was allowed, while it is done."""

    def __init__(
        self, guard: AsyncGuard, core: Core, action: Action, tool: str | None, approval: str | None
    ) -> None:
        self._guard, self._core = guard, core
        self._action: Action = action
        self._tool, self._approval = tool, approval
        self._number = -1

    async def __aenter__(self) -> None:
        await self._guard.check(action=self._action, tool=self._tool, approval=self._approval)
        self._number = self._core.begin(self._action, self._tool)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.end(self._number)
