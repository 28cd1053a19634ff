"""What the state database needs now and then: silences end, the unanswered are told again, old rows go."""

import time

from sqlalchemy import Connection, exists, select

from pipeline.clock import NowMs
from pipeline.respond import tables
from pipeline.respond.attention import attend, attend_all
from pipeline.respond.config import RespondConfig
from pipeline.respond.holds import release
from pipeline.respond.prune import prune
from pipeline.respond.state import StateDatabase

ROUND_S = 1.0
PRUNE_INTERVAL_S = 3_600.0
_MS_PER_DAY = 86_400_000


class Upkeep:
    """Rounds of one deliverer; each is a transaction, and a round with nothing to do only reads."""

    def __init__(self, state: StateDatabase, config: RespondConfig, now_ms: NowMs) -> None:
        self._state = state
        self._config = config
        self._now_ms = now_ms
        self._prune_at_s = 0.0
        self._has_begun = False

    def step(self) -> float:
        """One round; returns the seconds until the next."""
        now_ms = self._now_ms()
        if not self._has_begun:
            self._state.write(lambda connection: attend_all(connection, now_ms))
            self._has_begun = True
        if self._state.read(lambda connection: _is_due(connection, now_ms)):
            self._state.write(lambda connection: _look_after(connection, self._config, now_ms))
        if time.monotonic() >= self._prune_at_s:
            before_ms = now_ms - int(self._config.keep_days * _MS_PER_DAY)
            if not self._state.write(lambda connection: prune(connection, before_ms)):
                self._prune_at_s = time.monotonic() + PRUNE_INTERVAL_S
        return ROUND_S


def _look_after(connection: Connection, config: RespondConfig, now_ms: int) -> None:
    release(connection, config, now_ms)
    attend(connection, config, now_ms)


def _is_due(connection: Connection, now_ms: int) -> bool:
    incidents, pages = tables.incidents, tables.pages
    unanswered = exists().where((incidents.c.attend_at_ms <= now_ms) & (incidents.c.status == "open"))
    held = exists().where(pages.c.state == "held")
    return bool(connection.scalar(select(unanswered | held)))
