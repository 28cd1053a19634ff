"""Seals what is journaled and follows what other hosts sealed: the thread that talks to the store.

Trips never wait for it; what loosens takes effect here, after it was read or accepted by `_control`.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

import structlog

from pipeline import metrics
from pipeline.killswitch.book import Book
from pipeline.killswitch.health import Health, Loop, fault_of
from pipeline.killswitch.journal import Journal, SealedCache
from schemas.command import Command

Append = Callable[[Sequence[Command]], Collection[str]]
"""Seal commands; returns the ids that are sealed now. An id that is there already is not sealed again."""
ReadSealed = Callable[[int], Iterable[tuple[int, Command | None]]]
"""The rows of `_control` after an offset (-1: all), as (offset, command); None for rows of another kind."""

POLL_S = 1.0
FIRST_BACKOFF_S = 0.25
MAX_BACKOFF_S = 15.0
STOP_S = 3.0

log = structlog.get_logger()


class Sealer:
    """The one thread that appends to and reads `_control`."""

    def __init__(
        self,
        journal: Journal,
        book: Book,
        lock: threading.RLock,
        *,
        append: Append,
        read_sealed: ReadSealed,
        publish: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._book = book
        self._append = append
        self._read_sealed = read_sealed
        self._publish = publish
        self._changed = threading.Condition(lock)
        self._loop = Loop("killswitch-sealer", self._step)
        self._backoff_s = FIRST_BACKOFF_S
        self._saved: SealedCache | None = None
        self.health = Health()

    def start(self) -> None:
        """Start the thread."""
        self._loop.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._loop.stop(STOP_S)

    def wake(self) -> None:
        """There is something to seal."""
        self._loop.wake()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition on the book holds; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def _step(self) -> float:
        """One round; returns how long to pause."""
        try:
            self._follow()
            self._seal()
        except Exception as error:  # noqa: BLE001 (a store can fail in any way; the switch must outlive it)
            self.health = self.health.after(fault_of(error), "_control", metrics.control_failing)
            self._backoff_s = min(self._backoff_s * 2, MAX_BACKOFF_S)
            return self._backoff_s
        self.health = self.health.after(None, "_control", metrics.control_failing)
        self._backoff_s = FIRST_BACKOFF_S
        self._remember()
        return POLL_S

    def _follow(self) -> None:
        """Take up what is sealed. The first time all of it: the journal's memory is not the truth."""
        first = not self._book.caught_up
        rows = list(self._read_sealed(-1 if first else self._book.sealed_offset))
        with self._changed:
            if first:
                lost = self._book.replace_sealed(rows)
                for trip_id in lost:
                    log.error("_control has lost a sealed trip; it stays in force", trip=trip_id)
                self._book.blind.pop("cache", None)
            elif not self._book.add_sealed(rows):
                return
            self._publish()
            self._changed.notify_all()

    def _seal(self) -> None:
        """Append what is not sealed yet."""
        with self._changed:
            commands = self._book.to_append()
        if not commands:
            return
        sealed_ids = set(self._append(commands))
        with self._changed:
            self._book.mark_sealed(c for c in commands if c.id in sealed_ids)
            self._publish()
            self._changed.notify_all()
        if len(sealed_ids.intersection(c.id for c in commands)) < len(commands):
            raise RuntimeError("_control did not take every command")

    def _remember(self) -> None:
        """Keep what was sealed where a restart without the store finds it, then forget the trip files."""
        with self._changed:
            cache = self._book.cache()
            done = self._book.journaled - self._book.unsealed.keys()
        try:
            if cache != self._saved:
                self._journal.save_cache(cache)
                self._saved = cache
            for trip_id in done:
                self._journal.remove(trip_id)
        except OSError:
            return  # the trip files stay, which is as safe; the keeper reports the journal's health
        with self._changed:
            self._book.journaled -= done
