"""The page that needs no state database: that there is none.

Everything else that is paged is stored first, so while the database is away nothing new can be told. That
itself is told straight to the last resort.
"""

import structlog

from pipeline.clock import NowMs
from pipeline.respond.config import RespondConfig
from pipeline.respond.page import Page, time_text
from pipeline.respond.pager import Pager
from pipeline.respond.plan import DEAD_MAN
from pipeline.respond.state import StateDatabase, StateUnavailable

ROUND_S = 15.0
_log = structlog.get_logger("auditfuse.respond")


class StateWatch:
    """Tries the database now and then. Remembers in memory alone: a restart may tell it once more."""

    def __init__(self, state: StateDatabase, pager: Pager, config: RespondConfig, now_ms: NowMs) -> None:
        self._state = state
        self._pager = pager
        self._config = config
        self._now_ms = now_ms
        self._since_ms: int | None = None
        self._told: list[str] = []
        """The targets that know of it."""

    @property
    def is_away(self) -> bool:
        """Whether the last round did not reach it."""
        return self._since_ms is not None

    def step(self) -> float:
        """One round; returns the seconds until the next."""
        begun_ms = self._now_ms()
        try:
            self._state.write(lambda _: None)
        except StateUnavailable:
            self._since_ms = self._since_ms or begun_ms
            if self._now_ms() - self._since_ms >= self._config.dead_man_after_s * 1000:
                self._tell(self._since_ms)
        else:
            if self._since_ms is not None:
                self._tell_over(self._since_ms)
            self._since_ms, self._told = None, []
        return ROUND_S

    def _tell(self, since_ms: int) -> None:
        resort = self._config.last_resort
        names = [resort] if resort else [target.name for target in self._config.all_targets()]
        page = _page(since_ms)
        for name in names:
            if name not in self._told and self._pager.send(name, page).outcome == "sent":
                self._told.append(name)
                _log.error("state_database_away", told=name)

    def _tell_over(self, since_ms: int) -> None:
        for name in self._told:
            self._pager.send(name, _page(since_ms, is_over=True))


def _page(since_ms: int, *, is_over: bool = False) -> Page:
    # One alert, whichever members tell of it.
    key = f"{DEAD_MAN}/state"
    away = f"auditfuse cannot page: the state database cannot be used since {time_text(since_ms)}"
    back = "auditfuse can page again: the state database is back"
    return Page(
        page_id=f"{key}/{since_ms}/over" if is_over else f"{key}/{since_ms}",
        dedup_key=key,
        severity="critical",
        event="resolve" if is_over else "trigger",
        title=f"RESOLVED {back}" if is_over else f"CRITICAL {away}",
        body="Trips go on being served. Findings wait in memory, and are paged once the database is back.",
    )
