"""Several ingest processes on one store, each with a local topic of its own: how far they are in the way."""

import asyncio
import shutil
import time
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.cluster import own_cores
from benchmarks.looped import Looped
from benchmarks.sealed_runs import LOOK_S, Program, Sealed, settings, source, wait_rows
from pipeline.keys import Keys
from pipeline.topics.local import LocalProducer
from pipeline.topics.local_files import LocalTopicsConfig

APPEND_MESSAGES = 500


class Together(NamedTuple):
    """Several processes at once, from when all have begun to when the first is done."""

    processes: int
    cores: int
    rows: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Events a second of all of them."""
        return self.rows / self.wall_s

    @property
    def us(self) -> float:
        """CPU microseconds an event."""
        return 1e6 * self.cpu_s / self.rows


def side_by_side(
    folder: Path, looped: Looped, messages: int, processes: int, *, redact: bool = True
) -> Together:
    """Seal `messages` in each of so many processes, each on a core of its own as far as there are cores."""
    stream = looped.messages()
    cores = sorted(own_cores(10_000))
    try:
        with ExitStack() as ended:
            started: list[tuple[Program, Sealed]] = []
            for number in range(processes):
                own, topic = folder / f"own-{number}", f"local-{number}"
                asyncio.run(_load(own, topic, islice(stream, messages)))
                sections = {
                    "store": {"path": str(folder / "store")},
                    "worker": {"processes": 0},
                    **({} if redact else {"redaction": {"enabled": False}}),
                }
                configured = settings(sections) + source(topic, looped.format, "local")
                on = {cores[-1 - number % len(cores)]} if processes <= len(cores) else set(cores)
                program = ended.enter_context(Program(own, configured, cores=on, roles="ingest"))
                started.append((program, Sealed(folder / "store", topic)))
            found = _measured(started, looped.events_in(messages))
            return found._replace(cores=min(processes, len(cores)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(started: list[tuple[Program, Sealed]], rows: int) -> Together:
    for program, sealed in started:
        wait_rows(program, sealed, 1)
    first = [sealed.look() for _, sealed in started]
    cpu_s, began = sum(program.usage().cpu_s for program, _ in started), time.perf_counter()
    while all(sealed.look() < rows for _, sealed in started):
        for program, _ in started:
            program.require()
        time.sleep(LOOK_S)
    ended, after = time.perf_counter(), sum(program.usage().cpu_s for program, _ in started)
    done = sum(sealed.look() for _, sealed in started) - sum(first)
    return Together(len(started), 0, max(done, 1), ended - began, max(after - cpu_s, 0.01))


async def _load(folder: Path, topic: str, messages: Iterable[bytes]) -> None:
    """Append to a local topic that nobody reads yet."""
    place = folder / "auditfuse-data"
    producer = LocalProducer(LocalTopicsConfig(path=place / "topics"), topic, Keys(place / "keys"))
    await producer.start()
    stream = iter(messages)
    while batch := list(islice(stream, APPEND_MESSAGES)):
        await producer.append(batch)
    await producer.stop()
