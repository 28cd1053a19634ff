"""What an attempt to deliver leaves behind: its record, the next date, the last resort. Takes part in
a transaction that the caller began.
"""

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from pipeline.respond import page as paging
from pipeline.respond import tables
from pipeline.respond.batch import new_message
from pipeline.respond.config import RespondConfig
from pipeline.respond.incidents import SEVERITY_RANK, Episode
from pipeline.respond.pager import Sent
from pipeline.respond.plan import DEAD_MAN, HOLDABLE, SUMMARY, Message, backoff_ms
from pipeline.respond.updates import enqueue_update


def record_attempt(
    connection: Connection,
    message: Message,
    sent: Sent,
    config: RespondConfig,
    *,
    at_ms: int,
    elapsed_ms: int,
) -> None:
    """Store how an attempt went, and when the next one is due."""
    record_delivery(
        connection, (message.page_id, message.target, message.attempts + 1), sent, at_ms, elapsed_ms
    )
    if sent.outcome == "sent":
        _mark_sent(connection, message, at_ms)
        _follow_up(connection, message, config, at_ms)
        return
    _hold_page_back(connection, message, sent, at_ms, config)
    failing_since_ms = _hold_target_back(connection, message, sent, at_ms, config)
    if at_ms - failing_since_ms >= config.dead_man_after_s * 1000:
        _tell_last_resort(connection, message.target, sent, config, since_ms=failing_since_ms, now_ms=at_ms)


def record_delivery(
    connection: Connection, attempted: tuple[str, str, int], sent: Sent, at_ms: int, elapsed_ms: int
) -> None:
    """The record of an attempt: (page id, target, number of the attempt) and how it went."""
    page_id, target, attempt = attempted
    connection.execute(
        insert(tables.deliveries).values(
            page_id=page_id,
            target=target,
            attempt=attempt,
            at_ms=at_ms,
            elapsed_ms=elapsed_ms,
            outcome=sent.outcome,
            error=sent.error,
        )
    )


def _mark_sent(connection: Connection, message: Message, at_ms: int) -> None:
    pages, targets = tables.pages, tables.targets
    sent = {"state": "sent", "sent_at_ms": at_ms, "last_error": None}
    this = pages.c.seq == message.seq
    connection.execute(update(pages).where(this).values(**sent, attempts=message.attempts + 1))
    if message.change == SUMMARY:
        told = (pages.c.told_in == message.page_id) & (pages.c.target == message.target)
        connection.execute(update(pages).where(told).values(**sent))
    well = {"failures": 0, "failing_since_ms": None, "next_attempt_at_ms": 0, "last_error": None}
    connection.execute(update(targets).where(targets.c.name == message.target).values(**well))


def _follow_up(connection: Connection, message: Message, config: RespondConfig, at_ms: int) -> None:
    """Tell a target that an incident is over, or taken on, where that happened before it could be told of it:
    the alert that it just opened would stay open."""
    if message.incident_id is None or message.change not in HOLDABLE:
        return
    table = tables.incidents
    query = select(table.c.episode).where(table.c.incident_id == message.incident_id)
    episode = connection.scalar(query)
    if episode is not None:
        current = msgspec.json.decode(episode, type=Episode)
        enqueue_update(connection, current, None, "", config, at_ms, only=message.target)


def _hold_page_back(
    connection: Connection, message: Message, sent: Sent, at_ms: int, config: RespondConfig
) -> None:
    """A refusal holds back this page alone, so that it does not keep others from a target that is well."""
    pages, attempts = tables.pages, message.attempts + 1
    pause_ms = backoff_ms(message.page_id, attempts, config) if sent.outcome == "refused" else 0
    values = {"attempts": attempts, "next_attempt_at_ms": at_ms + pause_ms, "last_error": sent.error}
    connection.execute(update(pages).where(pages.c.seq == message.seq).values(**values))


def _hold_target_back(
    connection: Connection, message: Message, sent: Sent, at_ms: int, config: RespondConfig
) -> int:
    """Any failure but a refusal holds back the target. Returns since when it fails."""
    targets = tables.targets
    here = targets.c.name == message.target
    row = connection.execute(select(targets).where(here)).first()
    failures = (row.failures if row else 0) + 1
    since_ms = row.failing_since_ms if row and row.failing_since_ms is not None else at_ms
    pause_ms = 0 if sent.outcome == "refused" else backoff_ms(message.target, failures, config)
    # What the target asks for is kept to, even where our own pause would be shorter.
    pause_ms = max(pause_ms, int((sent.retry_after_s or 0) * 1000))
    values = {
        "failures": failures,
        "failing_since_ms": since_ms,
        "next_attempt_at_ms": at_ms + pause_ms,
        "last_error": sent.error,
    }
    if row:
        connection.execute(update(targets).where(here).values(**values))
    else:
        connection.execute(insert(targets).values(name=message.target, **values))
    return since_ms


def _tell_last_resort(
    connection: Connection, target: str, sent: Sent, config: RespondConfig, *, since_ms: int, now_ms: int
) -> None:
    """Once for each time that the target fails for too long."""
    resort, pages = config.last_resort, tables.pages
    if resort is None or resort == target:
        return
    page_id = f"{DEAD_MAN}/{target}/{since_ms}"
    if connection.scalar(select(pages.c.seq).where(pages.c.page_id == page_id)) is not None:
        return
    waiting = (pages.c.target == target) & (pages.c.state == "pending")
    undelivered = connection.scalar(select(func.count()).where(waiting)) or 0
    page = paging.render_dead_man(page_id, target, undelivered, since_ms, sent.error or sent.outcome)
    message = new_message(
        page_id=page_id,
        target=resort,
        change=DEAD_MAN,
        incident_id=None,
        severity_rank=SEVERITY_RANK["critical"],
        now_ms=now_ms,
        body=msgspec.json.encode(page),
    )
    connection.execute(insert(pages), [message])
