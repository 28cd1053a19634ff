"""The publisher: sealed rows to one output topic, behind the seals and never in their way."""

import asyncio
import contextlib
from collections.abc import Callable

from pipeline.audit.store import Store
from pipeline.errors import ConfigError, TopicError
from pipeline.publish.output import Output, Published
from pipeline.publish.positions import PartitionKey, Positions
from pipeline.publish.sealed import SealedBatch, SealedRows
from pipeline.respond.state import StateDatabase
from pipeline.topics.base import Producer

POLL_S = 1.0
STOP_TIMEOUT_S = 5.0
"""How long a broker that does not answer may hold up the end of the process."""


class Publisher:
    """Publishes what one output takes of a store to one topic."""

    def __init__(
        self,
        part: str,
        store: Store,
        state: StateDatabase,
        output: Output,
        place: str,
        producer: Callable[[], Producer],
    ) -> None:
        """`part` is its name in logs and in readiness; `place` the name that positions are kept under:
        another one begins anew."""
        self.part = part
        self.is_ready = False
        self._output = output
        self._rows = SealedRows(store, output)
        self._positions = Positions(state, place)
        self._new_producer = producer

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

    async def _publish(self, producer: Producer, ends: dict[PartitionKey, int]) -> None:
        """Publish everything that is sealed beyond `ends`, and move them on."""
        batches = self._rows.after(dict(ends))
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            if batch.rows:
                messages = await asyncio.to_thread(self._messages, batch)
                await asyncio.gather(*(producer.append([one.value], key=one.key) for one in messages))
                self._output.counted.inc(len(batch.rows))
                await asyncio.to_thread(self._positions.save, batch.key, batch.end)
            ends[batch.key] = batch.end

    def _messages(self, batch: SealedBatch) -> list[Published]:
        return list(self._output.messages(batch.rows))
