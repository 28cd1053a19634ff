"""A pool process that dies is replaced, and its batch is not lost."""

import functools
from pathlib import Path
from typing import Any, cast

import pytest
from support.audit import TOPIC_ID
from support.pool_child import build_dying

from pipeline.pool import PreparePool
from pipeline.prepare import Batch, Preparation
from pipeline.topics.base import Message


def batch(count: int) -> Batch:
    messages = [Message(0, offset, 0, "append", None, b"{}") for offset in range(count)]
    return Batch(topic_id=TOPIC_ID, partition=0, source="s", messages=messages, ingest_time_ms=0)


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    build = cast("Any", functools.partial(build_dying, tmp_path / "died"))
    pool = PreparePool(build, 1)
    try:
        rows = await pool.prepare(batch(3))
        assert [row.offset for row in rows] == [0, 1, 2]
        assert (tmp_path / "died").exists()
    finally:
        pool.close()


async def test_a_thread_that_could_not_start_is_tried_again() -> None:
    attempts: list[int] = []

    def build() -> Preparation:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("the keys cannot be read yet")
        return cast("Preparation", lambda one: [])

    pool = PreparePool(build, 0)
    try:
        assert await pool.prepare(batch(1)) == []
    finally:
        pool.close()


async def test_what_a_batch_raises_reaches_who_asked() -> None:
    def failing(one: Batch) -> list[Any]:
        raise ValueError

    pool = PreparePool(lambda: cast("Preparation", failing), 0)
    try:
        with pytest.raises(ValueError):
            await pool.prepare(batch(1))
    finally:
        pool.close()
