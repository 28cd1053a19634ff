"""The role detect, where one process detects for all agents."""

import asyncio
import threading
from collections.abc import Callable, Sequence

from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.signals import signals_from_rows
from pipeline.errors import ConfigError
from pipeline.roles.parts import Parts
from pipeline.tail import Handover, Tail
from pipeline.watch import Watch
from schemas.log_entry import SegmentRef
from schemas.record import Row

THREAD_STOP_S = 30.0


class Detect:
    """The watch in a thread of its own."""

    def __init__(self, parts: Parts, on_found: Callable[[], None]) -> None:
        """`on_found` is called whenever there may be something to tell."""
        self._parts = parts
        self._stop = threading.Event()
        self._failure: ConfigError | None = None
        self.handover = Handover()
        self.watch = Watch(
            tail=Tail(parts.store, self.handover),
            detect=parts.config.detect,
            state=parts.state,
            switch=parts.switch,
            snapshots=parts.store.cache_dir / "snapshots",
            on_found=on_found,
            now_ms=parts.now_ms,
            control=ControlRows(parts.store),
            approvals=parts.approvals if "control" in parts.roles else None,
            notices=parts.notices,
        )

    def start(self) -> None:
        """Nothing is detected before `run`."""

    async def run(self, done: asyncio.Event) -> None:
        """Detect in what is sealed; at the end, in what was sealed until then."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(
            target=self._run, args=(lambda: loop.call_soon_threadsafe(ended.set),), name="watch", daemon=True
        )
        thread.start()
        stop, end = asyncio.create_task(done.wait()), asyncio.create_task(ended.wait())
        await asyncio.wait({stop, end}, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        self.handover.arrived.set()
        await asyncio.wait({end}, timeout=THREAD_STOP_S)
        stop.cancel()
        end.cancel()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """All is over by now."""

    def readiness(self) -> dict[str, bool]:
        """Detection goes on."""
        return {"detection": self.watch.is_ready}

    def conditions(self) -> dict[str, str]:
        """What fails is tried again."""
        return {}

    def hand_over(self, segment: SegmentRef, rows: Sequence[Row]) -> None:
        """What this process has just sealed."""
        self.handover.put(segment.name, signals_from_rows(rows))

    def _run(self, ended: Callable[[], None]) -> None:
        """Detection needs the state database: wait for it, but hold up nothing else."""
        try:
            self._parts.await_state(self._stop)
            # Asked to stop at once, it still looks at what was sealed.
            self.watch.run(self.handover.arrived, self._stop)
        except ConfigError as error:
            self._failure = error
        finally:
            ended()
