"""Anchors: places outside the store that keep checkpoints. One function a kind sends a note once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline import durable
from pipeline.audit.checkpoint.config import (
    AnchorConfig,
    AppriseAnchor,
    DirectoryAnchor,
    HttpAnchor,
    KafkaAnchor,
)
from pipeline.errors import AuditfuseError

if TYPE_CHECKING:
    from pipeline.audit.checkpoint.statement import Checkpoint
    from pipeline.topics.kafka_config import KafkaConfig

Send = Callable[["Checkpoint"], None]
"""Sends one checkpoint. Raises AnchorError where it is not known to have arrived."""


class AnchorError(AuditfuseError):
    """An anchor did not take a checkpoint. The text holds no address and nothing from outside."""


def sender(anchor: AnchorConfig, kafka: KafkaConfig) -> Send:
    """What sends a checkpoint to this anchor, within its time-out."""
    match anchor:
        case DirectoryAnchor():
            return lambda checkpoint: _to_directory(anchor, checkpoint)
        case KafkaAnchor():
            return lambda checkpoint: _to_kafka(anchor, kafka, checkpoint)
        case HttpAnchor():
            return lambda checkpoint: _to_http(anchor, checkpoint)
        case AppriseAnchor():
            return lambda checkpoint: _to_apprise(anchor, checkpoint)


def _to_directory(anchor: DirectoryAnchor, checkpoint: Checkpoint) -> None:
    """A file a checkpoint; nothing is overwritten."""
    content = checkpoint.note.encode()
    try:
        durable.make_directory(anchor.path)
        if durable.create_exclusive(anchor.path / checkpoint.statement.file_name, content, anchor.path):
            return
        # The same tree by other keys is there.
        durable.create_exclusive(anchor.path / checkpoint.cosigned_file_name, content, anchor.path)
    except OSError as error:
        raise AnchorError(f"the directory cannot be written: {error.strerror}") from None


def _to_kafka(anchor: KafkaAnchor, kafka: KafkaConfig, checkpoint: Checkpoint) -> None:
    from pipeline.errors import TopicError
    from pipeline.topics.kafka_producer import KafkaProducer

    async def append() -> None:
        producer = KafkaProducer(kafka, anchor.topic)
        try:
            await producer.start()
            await producer.append([checkpoint.note.encode()], key=checkpoint.statement.origin.encode())
        finally:
            await producer.stop()

    try:
        asyncio.run(asyncio.wait_for(append(), anchor.timeout_s))
    except TimeoutError:
        raise AnchorError("Kafka did not answer in time") from None
    except TopicError as error:
        raise AnchorError(str(error)) from None


def _to_http(anchor: HttpAnchor, checkpoint: Checkpoint) -> None:
    import requests

    headers = {"Content-Type": "text/plain; charset=utf-8", **anchor.resolved_headers()}
    try:
        # Redirects off: a POST that is redirected becomes a GET that "succeeds" and keeps nothing.
        answer = requests.post(
            anchor.resolved_url(),
            checkpoint.note.encode(),
            headers=headers,
            timeout=anchor.timeout_s,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise AnchorError(f"no answer ({type(error).__name__})") from None
    if not 200 <= answer.status_code < 300:
        raise AnchorError(f"HTTP {answer.status_code}")


def _to_apprise(anchor: AppriseAnchor, checkpoint: Checkpoint) -> None:
    from pydantic import SecretStr

    from pipeline.respond.config import RespondConfig
    from pipeline.respond.page import Page
    from pipeline.respond.pager import ApprisePager
    from pipeline.respond.targets import Target

    target = Target(name=anchor.name, url=SecretStr(anchor.resolved_url()))
    pager = ApprisePager(RespondConfig(targets=(target,), send_timeout_s=anchor.timeout_s))
    statement = checkpoint.statement
    page = Page(
        page_id=secrets.token_hex(8),
        dedup_key=f"checkpoint {statement.origin}",
        severity="info",
        title=f"auditfuse checkpoint: {statement.size} log entries of {statement.origin}",
        body=checkpoint.note.encode().decode(),
    )
    sent = pager.send(anchor.name, page)
    if sent.outcome != "sent":
        raise AnchorError(sent.error or sent.outcome)
