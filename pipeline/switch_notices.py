"""Notices of the kill switch on their way into the outbox of pages."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from pipeline.clock import NowMs
from pipeline.killswitch.notices import Notice
from pipeline.respond import tables
from pipeline.respond.config import RespondConfig
from pipeline.respond.notices import send_notice
from pipeline.respond.state import StateDatabase

FINDING_WAIT_MS = 60_000
"""How long a notice waits for its finding to be stored, which may make a page that says the same."""


class _Told(NamedTuple):
    is_stored: bool
    is_paged: bool
    """It made a page of its own."""


class NoticeSender:
    """Called by the thread of `Notices`. Raises StateUnavailable; then nothing was stored."""

    def __init__(self, state: StateDatabase, config: RespondConfig, now_ms: NowMs) -> None:
        self._state = state
        self._config = config
        self._now_ms = now_ms
        self._since_ms: dict[str, int] = {}

    def __call__(self, notice: Notice) -> bool:
        """Put it into the outbox; False where its finding is not stored yet."""
        now_ms = self._now_ms()
        if notice.finding_id is not None:
            told = self._told(notice.finding_id)
            if not told.is_stored and now_ms - self._since_ms.setdefault(notice.id, now_ms) < FINDING_WAIT_MS:
                return False
            self._since_ms.pop(notice.id, None)
            if told.is_paged:
                return True
        send_notice(
            self._state,
            self._config,
            notice_id=notice.id,
            title=notice.title,
            lines=notice.lines,
            severity="critical",
            environment=notice.environment,
            now_ms=now_ms,
        )
        return True

    def _told(self, finding_id: str) -> _Told:
        findings, pages = tables.findings, tables.pages

        def look(connection: Connection) -> _Told:
            stored = select(findings.c.finding_id).where(findings.c.finding_id == finding_id)
            paged = select(pages.c.seq).where(pages.c.awaits_row == finding_id).limit(1)
            return _Told(
                is_stored=connection.scalar(stored) is not None,
                is_paged=connection.scalar(paged) is not None,
            )

        return self._state.read(look)
