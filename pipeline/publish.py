"""The dead-letter topic: sealed dead letters, for programs that wait for them.

Published from sealed rows and from nothing else, so that it says no more than the store does: a message's
value is the row's `meta` byte for byte, its key is the row's identity,
`<topic id>/<partition>/<offset>/<item>`. At least once: how far a partition is published is kept in the
state database after the broker has acknowledged. Who must not count a dead letter twice counts keys.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pipeline import metrics
from pipeline.audit.arrow import ParquetFile
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.errors import ConfigError, TopicError
from pipeline.respond.state import StateDatabase
from pipeline.respond.tables import published
from pipeline.topics.base import Producer
from schemas.log_entry import SegmentRef

POLL_S = 1.0
BATCH_ROWS = 500
STOP_TIMEOUT_S = 5.0
"""How long a broker that does not answer may hold up the end of the process."""

_Key = tuple[str, int]


class DeadLetter(NamedTuple):
    """A sealed dead letter as it is published."""

    offset: int
    key: bytes
    value: bytes


class Positions:
    """How far each partition is published to one output topic. Blocking; raises StateUnavailable."""

    def __init__(self, state: StateDatabase, output: str) -> None:
        self._state = state
        self._output = output

    def load(self) -> dict[_Key, int]:
        """The ends by (topic id, partition); none for a topic that was never published to."""

        def look(connection: Connection) -> dict[_Key, int]:
            query = select(published).where(published.c.output == self._output)
            return {(row.topic_id, row.partition): row.end for row in connection.execute(query)}

        self._state.create_schema()
        return self._state.read(look)

    def save(self, key: _Key, end: int) -> None:
        """Remember an end."""
        place = {"output": self._output, "topic_id": key[0], "partition": key[1]}

        def replace(connection: Connection) -> None:
            connection.execute(delete(published).filter_by(**place))
            connection.execute(insert(published).values(**place, end=end))

        self._state.write(replace)


class Letters:
    """The sealed dead letters of a store, partition by partition."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._logs: dict[_Key, PartitionLog] = {}

    def after(self, ends: Mapping[_Key, int]) -> Iterator[tuple[_Key, list[DeadLetter], int]]:
        """What is sealed at or beyond `ends`, in batches: (partition, letters, the end once they are out).

        The end is that of the batch's last letter's message, or the segment's where nothing follows.
        """
        for key in self._store.partitions():
            if key[0] in APPEND_PARTITIONS:
                continue
            partition_log = self._logs.setdefault(key, PartitionLog(self._store, *key))
            end = ends.get(key, 0)
            while (ref := _next_segment(partition_log, end)) is not None:
                try:
                    for batch, batch_end in self._of_segment(key, ref, end):
                        yield key, batch, batch_end
                        end = batch_end
                except FileNotFoundError:
                    continue  # compacted meanwhile: the log names what holds these rows now
                end = ref.end

    def _of_segment(self, key: _Key, ref: SegmentRef, start: int) -> Iterator[tuple[list[DeadLetter], int]]:
        held: list[DeadLetter] = []
        if ref.rows > ref.events:
            with self._store.open_segment(*key, ref.name) as source:
                letters = _read_letters(key, open_parquet(source), start)
                while batch := list(islice(letters, BATCH_ROWS)):
                    if held:
                        # Not beyond its last offset: another item of that message may come.
                        yield held, held[-1].offset
                    held = batch
        yield held, ref.end


def _next_segment(partition_log: PartitionLog, end: int) -> SegmentRef | None:
    live = partition_log.refresh().live.values()
    return next((ref for ref in live if ref.end > end), None)


def _read_letters(key: _Key, file: ParquetFile, start: int) -> Iterator[DeadLetter]:
    """The dead letters of a file at or beyond `start`. One that was erased is not told any more."""
    for group in range(file.num_row_groups):
        if "dead_letter" not in file.read_row_group(group, columns=["kind"]).column("kind").to_pylist():
            continue
        rows = file.read_row_group(group, columns=["kind", "offset", "item", "meta"]).to_pylist()
        for row in rows:
            if row["kind"] == "dead_letter" and row["offset"] >= start and row["meta"] is not None:
                identity = f"{key[0]}/{key[1]}/{row['offset']}/{row['item']}"
                yield DeadLetter(row["offset"], identity.encode(), row["meta"].encode())


class Publisher:
    """Publishes the dead letters of a store to one topic, behind the seals and never in their way."""

    def __init__(
        self, store: Store, state: StateDatabase, output: str, producer: Callable[[], Producer]
    ) -> None:
        """`output` is the name that positions are kept under: another one begins anew."""
        self._letters = Letters(store)
        self._positions = Positions(state, output)
        self._new_producer = producer
        self.is_ready = False

    async def run(self, sealed: asyncio.Event) -> None:
        """Publish until `sealed` says that no more will come, then what is left of it.

        Raises what the topic or the state database raise; call it again to go on.
        """
        ends = await asyncio.to_thread(self._positions.load)
        producer = self._new_producer()
        try:
            await producer.start()
        except ConfigError as error:
            raise TopicError(str(error)) from None  # no reason to end the process: sealing goes on
        try:
            self.is_ready, is_last = True, False
            while not is_last:
                is_last = sealed.is_set()
                await self._publish(producer, ends)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(sealed.wait(), POLL_S)
        finally:
            self.is_ready = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)

    async def _publish(self, producer: Producer, ends: dict[_Key, int]) -> None:
        """Publish everything that is sealed beyond `ends`, and move them on."""
        letters = self._letters.after(dict(ends))
        while (found := await asyncio.to_thread(next, letters, None)) is not None:
            key, batch, end = found
            if batch:
                await asyncio.gather(*(producer.append([one.value], key=one.key) for one in batch))
                metrics.dead_letters_published.inc(len(batch))
                await asyncio.to_thread(self._positions.save, key, end)
            ends[key] = end
