"""Parts that fail are started again, whatever they fail with."""

import asyncio

import pytest

from pipeline.roles import supervise
from pipeline.roles.supervise import Supervisor


async def test_a_cancellation_that_a_library_lets_through_is_a_failure_as_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervise, "RETRY_FIRST_S", 0.01)
    runs = 0

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            waiting = asyncio.ensure_future(asyncio.sleep(60))
            waiting.cancel()
            await waiting

    await Supervisor().run("a part", part, asyncio.Event())
    assert runs == 3


async def test_who_is_cancelled_ends() -> None:
    running = asyncio.create_task(Supervisor().run("a part", lambda: asyncio.sleep(60), asyncio.Event()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_has_run_for_long_is_started_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(supervise, "RETRY_MAX_S", 0.2)
    monkeypatch.setattr(supervise, "STEADY_S", 0.05)
    runs: list[float] = []
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    async def part() -> None:
        runs.append(loop.time())
        if len(runs) == 7:
            await asyncio.sleep(0.06)
        if len(runs) == 8:
            done.set()
        raise OSError

    await Supervisor().run("a part", part, done)
    assert runs[6] - runs[5] >= 0.19, "later and later"
    assert runs[7] - runs[6] < 0.15, "and as at first after it ran"
