"""The pool that prepares batches in spawned processes, results in the order asked for."""

import asyncio
import functools
import gc
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import wait

from pipeline.prepare import Batch, Preparation
from schemas.record import Row

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""One process is the work of one core: more threads would wait for each other. Read as NumPy loads."""
_COLLECT_AFTER = (50_000, 20, 20)
"""New objects, and collections of each generation by which the next older one is looked through."""
_preparation: Preparation | None = None


class PreparePool:
    """Runs a `Preparation` in `processes` spawned processes; with 0, in one thread of this process."""

    def __init__(self, build: Callable[[], Preparation], processes: int) -> None:
        self._build = build
        self._processes = processes
        self.calms = False
        """Whether this process's collector is calmed too, once the models are here."""
        self._executor = self._start()

    def _start(self) -> Executor:
        if self._processes == 0:
            return ThreadPoolExecutor(1, "prepare", initializer=_initialize, initargs=(self._build, False))
        return ProcessPoolExecutor(
            self._processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_initialize,
            initargs=(self._build, True),
        )

    def warm_up(self) -> None:
        """Begin to load the models now, and not with the first batch."""
        for _ in range(max(1, self._processes)):
            self._executor.submit(_load, self.calms)

    async def prepare(self, batch: Batch) -> list[Row]:
        """The rows of a batch. A process that dies is replaced and the batch tried once more."""
        loop = asyncio.get_running_loop()
        executor = self._executor
        run = functools.partial(_prepare, batch)
        try:
            return await loop.run_in_executor(executor, run)
        except BrokenExecutor:
            if executor is self._executor:
                self._executor = self._start()
            return await loop.run_in_executor(self._executor, run)

    def close(self) -> None:
        """End the processes; batches under way are given up."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _initialize(build: Callable[[], Preparation], in_child: bool) -> None:
    global _preparation  # noqa: PLW0603 (one engine a process)
    if in_child:
        for name in _THREADS:
            os.environ.setdefault(name, "1")
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    _preparation = build()


def _exit_with_parent() -> None:
    """A killed parent sends nothing: without this its children would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(0)


def _load(calms: bool) -> None:
    if _preparation is not None:
        _preparation.load()
    if calms or multiprocessing.parent_process() is not None:
        calm_collector()


def calm_collector() -> None:
    """Keep the garbage collector from looking, again and again, through models and the memo, which stay: a
    tenth of the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _prepare(batch: Batch) -> list[Row]:
    assert _preparation is not None  # noqa: S101 (the initializer ran)
    return _preparation(batch)
