"""The network between workers and brokers: a TCP proxy for each pair, which can hold, delay and cut.

A partition is played by holding: connections stay, and nothing passes, as where packets are dropped; what was
held passes once it ends, as what TCP sends again. It needs no rights, unlike network namespaces.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterable
from typing import Literal, NamedTuple

Mode = Literal["open", "held", "deaf", "slow", "cut", "flaky"]
"""held: nothing passes. deaf: the worker is heard, and hears nothing. slow: each piece takes its time. cut:
connections are reset, and new ones too. flaky: connections are reset at random."""
PIECE_BYTES = 64 * 1024
FLAKY_SHARE = 0.05
LONGEST_WAIT_S = 0.05


class Door(NamedTuple):
    """From a worker to a node."""

    worker: str
    node: int


class _State:
    """What passes one door now."""

    def __init__(self) -> None:
        self.mode: Mode = "open"
        self.delay_s = 0.0
        self.target_port = 0
        self.writers: set[asyncio.StreamWriter] = set()


class Network:
    """All doors; runs in a thread of its own. Ports are known once `start` has returned."""

    def __init__(self, doors: Iterable[Door], seed: int = 0) -> None:
        self._doors = {door: _State() for door in doors}
        self.ports: dict[Door, int] = {}
        self._random = random.Random(seed)
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def start(self) -> None:
        """Listen on every door."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def lead(self, door: Door, port: int) -> None:
        """Say where a door leads to."""
        self._doors[door].target_port = port

    def set(self, mode: Mode, worker: str, nodes: Iterable[int] | None = None, delay_s: float = 0.0) -> None:
        """What passes between a worker and these nodes (all, by default) from now on."""
        chosen = None if nodes is None else set(nodes)
        states = [
            state
            for door, state in self._doors.items()
            if door.worker == worker and (chosen is None or door.node in chosen)
        ]
        asyncio.run_coroutine_threadsafe(self._set(states, mode, delay_s), self._loop).result(10)

    def heal(self) -> None:
        """Everything passes everywhere."""
        states = list(self._doors.values())
        asyncio.run_coroutine_threadsafe(self._set(states, "open", 0.0), self._loop).result(10)

    def stop(self) -> None:
        """Close everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        for door, state in self._doors.items():
            server = await asyncio.start_server(_serving(self, state), "127.0.0.1", 0)
            self._servers.append(server)
            self.ports[door] = server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _set(self, states: Iterable[_State], mode: Mode, delay_s: float) -> None:
        for state in states:
            state.mode, state.delay_s = mode, delay_s
            if mode == "cut":
                for writer in list(state.writers):
                    writer.transport.abort()

    async def serve(self, state: _State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until an end closes it or it is cut."""
        if state.mode == "cut":
            writer.transport.abort()
            return
        try:
            await self._until_open(state, is_reply=False)
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", state.target_port)
        except OSError:
            writer.transport.abort()  # the node is down: refused, as its own port would
            return
        ends = {writer, inner_writer}
        state.writers |= ends
        pumps = [
            asyncio.ensure_future(self._pump(state, reader, inner_writer, is_reply=False)),
            asyncio.ensure_future(self._pump(state, inner_reader, writer, is_reply=True)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for end in ends:
            end.transport.abort() if state.mode in ("cut", "flaky") else end.close()
        state.writers -= ends

    async def _pump(
        self, state: _State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await self._until_open(state, is_reply=is_reply)
                if state.mode == "flaky" and self._random.random() < FLAKY_SHARE:
                    return
                writer.write(piece)
                await writer.drain()

    async def _until_open(self, state: _State, *, is_reply: bool) -> None:
        if state.mode == "slow":
            await asyncio.sleep(state.delay_s * self._random.uniform(0.5, 1.5))
        while state.mode == "held" or (state.mode == "deaf" and is_reply):  # noqa: ASYNC110
            await asyncio.sleep(LONGEST_WAIT_S)


def _serving(network: Network, state: _State):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await network.serve(state, reader, writer)

    return serve
