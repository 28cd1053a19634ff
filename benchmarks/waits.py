"""Waiting under load: from produced to queryable, and from produced to the page; memory behind a backlog."""

import asyncio
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.kill_events import Pages, refusals
from benchmarks.looped import Looped
from benchmarks.report import percentile
from benchmarks.sealed_runs import Program, Sealed, settings, source, wait_rows

NOTED_EVERY = 20
"""Of the messages produced, every so many is waited for."""
LOOK_S = 0.02
TICK_S = 0.02
PAGE_EVERY_S = 2.0
TARGET = "hook"


class Waits(NamedTuple):
    """Milliseconds of wall time."""

    produced_per_s: float
    queryable_ms: list[float]
    page_ms: list[float]
    peak_rss_mb: float

    def percentiles(self, share: float) -> tuple[float | None, float | None]:
        """Of both."""
        queryable, page = (
            percentile(each, share) if each else None for each in (self.queryable_ms, self.page_ms)
        )
        return queryable, page


class _Produced:
    """When which offset was acknowledged."""

    def __init__(self) -> None:
        self.at: dict[int, list[tuple[int, float]]] = {}

    def note(self, partition: int, offset: int, at: float) -> None:
        self.at.setdefault(partition, []).append((offset, at))


def waits(
    folder: Path,
    bootstrap: str,
    topic: str,
    looped: Looped,
    *,
    per_s: float,
    seconds: float,
    pages: int,
    redact: bool = True,
) -> Waits:
    """Produce at a steady rate for so long, to a topic that exists; look at the catalog and at a webhook."""
    hook = Pages()
    sections: dict[str, dict[str, Any]] = {
        "kafka": {"bootstrap_servers": bootstrap, "group_id": f"waits-{time.time_ns()}"},
        **({} if redact else {"redaction": {"enabled": False}, "worker": {"processes": 0}}),
    }
    told = f'[[respond.targets]]\nname = "{TARGET}"\nurl = "{hook.url}"\nper_minute = 600\n'
    configured = settings(sections) + told + source(topic, "events")
    try:
        with Program(folder, configured) as program:
            return _waited(program, hook, bootstrap, topic, looped, per_s, seconds, pages)
    finally:
        hook.close()


def _waited(
    program: Program,
    hook: Pages,
    bootstrap: str,
    topic: str,
    looped: Looped,
    per_s: float,
    seconds: float,
    pages: int,
) -> Waits:
    produced, looking = _Produced(), threading.Event()
    seen: list[tuple[float, dict[int, int]]] = []
    page_ms: list[float] = []
    looker = threading.Thread(target=_look, args=(program.store, topic, seen, looking), daemon=True)

    async def work() -> int:
        from aiokafka import AIOKafkaProducer

        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5) as producer:
            await producer.send_and_wait(topic, next(looped.messages(time.time_ns())), partition=0)
            await asyncio.to_thread(wait_rows, program, Sealed(program.store, topic), 1)
            looker.start()
            paging = asyncio.create_task(_page(producer, topic, hook, pages, page_ms))
            sent = await _produce(producer, topic, looped, per_s, seconds, produced)
            await paging
            return sent

    sent = asyncio.run(work())
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _all_seen(produced, seen):
        time.sleep(0.1)
    looking.set()
    looker.join(30)
    return Waits(sent / seconds, list(_queryable_ms(produced, seen)), page_ms, program.usage().peak_rss_mb)


async def _produce(
    producer: Any, topic: str, looped: Looped, per_s: float, seconds: float, produced: _Produced
) -> int:
    """Send at a steady rate; note when each is acknowledged."""
    messages = looped.messages(time.time_ns())
    partitions = cycle(sorted(await producer.partitions_for(topic)))
    began, sent = time.perf_counter(), 0
    events = 0.0
    while (elapsed := time.perf_counter() - began) < seconds:
        while events < elapsed * per_s:
            at = time.perf_counter()
            future = await producer.send(topic, next(messages), partition=next(partitions))
            if sent % NOTED_EVERY == 0:
                future.add_done_callback(
                    lambda done, at=at: produced.note(done.result().partition, done.result().offset, at)
                )
            sent += 1
            events += looped.events_a_message
        await asyncio.sleep(TICK_S)
    await producer.flush()
    return sent


async def _page(producer: Any, topic: str, hook: Pages, pages: int, page_ms: list[float]) -> None:
    """Refused actions of one new agent after the other; from before the first is sent to its page."""
    for number in count():
        if number > pages:
            return
        agent = f"paged-agent-{number}"
        began = time.perf_counter()
        sent = [await producer.send(topic, one, partition=0) for one in refusals(agent)]
        await asyncio.gather(*sent)
        await asyncio.to_thread(hook.wait, agent)
        if number:  # the first one warms everything up
            page_ms.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(PAGE_EVERY_S * (0.5 + number * 0.37 % 1))


def _look(store: Path, topic: str, seen: list[tuple[float, dict[int, int]]], stop: threading.Event) -> None:
    """Ask each new catalog which offsets it shows; note when the answer was there."""
    from pipeline.audit.catalog import Catalog
    from pipeline.audit.query import connect_read_only
    from pipeline.audit.store import open_store

    catalog, last = Catalog(open_store(store)), ""
    query = 'SELECT "partition", max("offset") FROM events WHERE starts_with(topic_id, ?) GROUP BY ALL'
    while not stop.is_set():
        pointer = catalog.pointer()
        if pointer is not None and pointer.file != last:
            last = pointer.file
            try:
                with connect_read_only(catalog.directory / pointer.file) as connection:
                    ends = dict(connection.execute(query, [f"{topic}."]).fetchall())
            except Exception:  # noqa: BLE001 (replaced meanwhile: the next one shows as much)
                continue
            seen.append((time.perf_counter(), ends))
        stop.wait(LOOK_S)


def _all_seen(produced: _Produced, seen: list[tuple[float, dict[int, int]]]) -> bool:
    return bool(seen) and all(
        seen[-1][1].get(partition, -1) >= noted[-1][0] for partition, noted in produced.at.items() if noted
    )


def _queryable_ms(produced: _Produced, seen: list[tuple[float, dict[int, int]]]) -> Iterator[float]:
    for partition, noted in produced.at.items():
        ends = [shown.get(partition, -1) for _, shown in seen]
        for offset, at in noted:
            place = bisect_left(ends, offset)
            if place < len(seen):
                yield 1000 * (seen[place][0] - at)


def small_messages() -> Iterator[bytes]:
    """Native events without a payload, for ever: what a long backlog is made of."""
    for number in count():
        yield (
            b'{"start_time_unix_nano":%d,"duration_ns":1000000,"agent_id":"agent-%d","environment":"prod",'
            b'"operation":"execute_tool","action":"lookup_invoice","action_kind":"read","status":"ok",'
            b'"trace_id":"%032x","span_id":"%016x"}'
        ) % (1_700_000_000_000_000_000 + number * 1_000_000, number % 50, number // 8 + 1, number + 1)


def behind(program: Program, seconds: float, look: Callable[[float, float], None]) -> float:
    """Peak memory, in MB, while a program works at a backlog for so long; `look` is told time and memory."""
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        program.require()
        look(elapsed, program.usage().rss_mb)
        time.sleep(min(1.0, seconds / 5))
    return program.usage().peak_rss_mb
