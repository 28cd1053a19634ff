"""How long what the server said may be acted upon. Pure; times are seconds of `boottime_s`.

A lease runs from the *sending* of its request, so that it ends here no later than the server believes,
on a clock that goes on while the machine sleeps and that nobody sets. Two rules keep a crossing of
answers harmless: only the answer to a lease request loosens, and a trip that the stream brought stays until
such an answer to a request that was sent after it.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from auditfuse_client.answers import Grant, Told
from auditfuse_client.decision import Trip

MAX_STREAMED = 10_000
"""So many trips are kept between two lease answers; more of them stop everything."""
TOO_MANY = Trip("more trips than are kept", "off", None, None)

Clock = Callable[[], float]
"""Seconds since some fixed moment."""


def _boottime() -> Clock:
    """CLOCK_BOOTTIME; on macOS CLOCK_MONOTONIC by clock_gettime, which counts sleep as well, unlike
    `time.monotonic` there."""
    if sys.platform.startswith("linux"):
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    return time.monotonic


boottime_s: Clock = _boottime()


class Lease(NamedTuple):
    """What the client enforces. One immutable value, replaced as a whole."""

    until_s: float = float("-inf")
    """The end of the lease; before the first answer there was none."""
    granted: tuple[Trip, ...] = ()
    streamed: tuple[Trip, ...] = ()
    """What the stream brought since the request of the last grant was sent."""
    streamed_s: float = float("-inf")
    """When the stream brought something last."""
    digest: str | None = None
    """The newest digest whose trips are all enforced here: what is acknowledged."""
    host: str = ""

    @property
    def trips(self) -> tuple[Trip, ...]:
        """All that are enforced; one that both told is named once."""
        return tuple(dict.fromkeys(self.granted + self.streamed))

    def after_grant(self, grant: Grant, sent_s: float) -> "Lease":
        """The lease once the answer to a request sent at `sent_s` is in."""
        crossed = self.streamed_s >= sent_s
        return Lease(
            until_s=sent_s + grant.lease_s,
            granted=grant.told.trips,
            streamed=self.streamed if crossed else (),
            streamed_s=self.streamed_s,
            digest=self.digest if crossed else grant.told.digest,
            host=grant.told.host,
        )

    def after_event(self, told: Told, received_s: float) -> "Lease":
        """The lease once the stream brought `told`: never longer, never looser."""
        streamed = tuple(dict.fromkeys(self.streamed + told.trips))
        if len(streamed) > MAX_STREAMED:
            streamed = (TOO_MANY,)
        return self._replace(streamed=streamed, streamed_s=received_s, digest=told.digest, host=told.host)
