"""A member that responds: `python -m support.active_child URL` prints `held` and `lost` as they happen.

It takes the lock once, and asks on and on whether it holds it.
"""

import sys
import time

import structlog
from pydantic import SecretStr

from pipeline.respond import active
from pipeline.respond.active import ActiveLock
from pipeline.respond.config import StateConfig

BEAT_S, HELD_S, LEASE_S = 0.2, 2.0, 4.0
"""Shorter than in use."""


def main(url: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # as auditfuse has it
    active.BEAT_S, active.HELD_S, active.LEASE_S = BEAT_S, HELD_S, LEASE_S
    lock = ActiveLock(StateConfig(url=SecretStr(url)))
    while not lock.try_acquire():
        time.sleep(0.05)
    print("held", flush=True)
    while lock.is_held:
        time.sleep(0.02)
    print("lost", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
