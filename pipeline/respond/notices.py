"""Notices: pages about something that is no incident, such as a step-down that another person made."""

import msgspec
from sqlalchemy import Connection, insert, select

from pipeline.respond import tables
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import SEVERITY_RANK
from pipeline.respond.page import TITLE_CHARS, Page, inert
from pipeline.respond.plan import NOTICE
from pipeline.respond.state import StateDatabase
from schemas.finding import Severity

BODY_LINES = 20


def send_notice(
    state: StateDatabase,
    config: RespondConfig,
    *,
    notice_id: str,
    title: str,
    lines: tuple[str, ...] = (),
    severity: Severity = "critical",
    environment: str = "",
    now_ms: int,
) -> int:
    """Put a notice into the outbox, one message for each target that the routes give it. Returns how many.

    `notice_id` names it for good: called again with the same one, nothing is sent a second time. Title and
    lines are made inert, as everything in pages is. Raises StateUnavailable; then nothing was stored.
    """
    page_id = f"{NOTICE}/{notice_id}"
    page = Page(
        page_id=page_id,
        dedup_key=page_id,
        severity=severity,
        title=inert(f"{severity.upper()} {title}", TITLE_CHARS),
        body="\n".join(inert(line) for line in lines[:BODY_LINES]),
    )

    def transaction(connection: Connection) -> int:
        pages = tables.pages
        known = select(pages.c.target).where(pages.c.page_id == page_id)
        told = set(connection.scalars(known))
        messages = [
            new_message(
                page_id=page_id,
                target=target,
                change=NOTICE,
                incident_id=None,
                severity_rank=SEVERITY_RANK[severity],
                now_ms=now_ms,
                body=msgspec.json.encode(page),
            )
            for target in config.targets_for(severity, environment)
            if target not in told
        ]
        if messages:
            connection.execute(insert(pages), messages)
        return len(messages)

    return state.write(transaction)
