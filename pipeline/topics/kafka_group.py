"""Two things of aiokafka's group members that need care: what a listener raises, and how a member ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition

STOP_TIMEOUT_S = 10.0


class Listener(ConsumerRebalanceListener):
    """aiokafka only logs what a listener raises; here it is handed to `failed`."""

    def __init__(
        self,
        place: Callable[[Sequence[TopicPartition]], None],
        revoke: Callable[[], Awaitable[None]],
        failed: Callable[[Exception], None],
    ) -> None:
        self._place = place
        self._revoke = revoke
        self._failed = failed

    # aiokafka declares it without async, and awaits what it returns.
    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        revoked: Sequence[TopicPartition],  # noqa: ARG002
    ) -> None:
        """Eager rebalancing takes all partitions away."""
        try:
            await self._revoke()
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Place each at its offset."""
        try:
            self._place(assigned)
        except Exception as error:  # noqa: BLE001
            self._failed(error)


async def end(consumer: Any, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Leave the group and disconnect, within a time.

    aiokafka's stop() raises the CancelledError of a fetch of its own that waited after an error, which looks
    as if this task was cancelled, and ends the process; and it waits for an answer to a join for as long as a
    rebalance may take. Either way it leaves its connections open.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    try:
        await asyncio.wait([stopping], timeout=timeout_s)
    finally:
        if not stopping.done():
            stopping.cancel()
            await asyncio.wait([stopping])
    if stopping.cancelled():
        await consumer._client.close()
    else:
        stopping.result()
