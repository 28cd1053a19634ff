"""Runs a part until the end, again and again where it fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from pipeline.cancellation import is_cancelled
from pipeline.errors import AuditfuseError, ConfigError

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
STEADY_S = 60.0
"""What ran so long before it failed is started again as soon as at the first time."""

log = structlog.get_logger()


class Supervisor:
    """What fails is started again, later and later. A part that is down stops no other: least of all the
    kill switch."""

    def __init__(self, attempts: int | None = None) -> None:
        """`attempts`: how often a part may fail before that is raised; None: it is started again for ever."""
        self._attempts = attempts

    async def run(self, part: str, run: Callable[[], Awaitable[None]], done: asyncio.Event) -> None:
        """Run a part until it returns, or has failed and is not wanted any more."""
        pause_s, failures = RETRY_FIRST_S, 0
        while not done.is_set():
            began_s = time.monotonic()
            try:
                await run()
                return
            except ConfigError:
                raise
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled(error):
                    raise
                # Named by its type: its text may hold content.
                text = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
                failures += 1
                if failures == self._attempts:
                    raise AuditfuseError(f"{part} failed {failures} times, last with: {text}") from None
                if time.monotonic() - began_s > STEADY_S:
                    pause_s = RETRY_FIRST_S
                log.error("failed, will be started again", part=part, error=text)
            try:
                await asyncio.wait_for(done.wait(), pause_s)
            except TimeoutError:
                pause_s = min(pause_s * 2, RETRY_MAX_S)
