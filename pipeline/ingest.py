"""Files through the whole pipeline: appended to local topics, worked off to the end, then stopped."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.app import App
from pipeline.clock import system_now_ms
from pipeline.config import Config
from pipeline.decode import decode_message
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.sources import Format, SourceConfig
from pipeline.errors import AuditfuseError
from pipeline.files import FileFormat, guess_format, read_messages
from pipeline.roles.detect import Detect
from pipeline.roles.ingest import Ingest
from pipeline.roles.parts import Parts
from pipeline.signals_topic.config import SignalsConfig
from pipeline.topics.local import LocalProducer
from schemas.event import Event

APPEND_MESSAGES = 500
AHEAD_MESSAGES = 20_000
"""How far the local topic may run ahead of the sealed rows."""
POLL_S = 0.05
VAIN_ROUNDS = 2
"""Looks for something new, the first of which may have begun before it was there."""
NEVER_MS = 10 * 365 * 86_400_000
ATTEMPTS = 3
"""How often a part may fail before the command gives up; nothing that was appended is lost."""
_NS_PER_MS = 1_000_000


class IngestReport(NamedTuple):
    """What came of it."""

    messages: int
    rows: int
    dead_letters: int
    findings: int
    seconds: float
    store: str


def ingest_files(config: Config, files: Sequence[Path], file_format: FileFormat | None) -> IngestReport:
    """Load files in order. Raises ConfigError for one that cannot be read, before anything is loaded."""
    formats = [guess_format(path) for path in files]
    plan: list[tuple[Path, FileFormat, Format]] = [
        (path, file_format or found, kind) for path, (found, kind) in zip(files, formats, strict=True)
    ]
    return asyncio.run(_ingest(config, plan))


async def _ingest(config: Config, plan: Sequence[tuple[Path, FileFormat, Format]]) -> IngestReport:
    began = time.monotonic()
    sources = {kind: file_source(kind) for _, _, kind in plan}
    app = _whole(App(_for_files(config), tuple(sources.values()), attempts=ATTEMPTS))
    app.parts.switch.start()
    messages = 0
    newest_ms: int | None = None
    running = asyncio.create_task(app.app.run())
    try:
        with _Progress(app, running) as progress:
            for path, file_format, kind in plan:
                loaded = await _load(app, sources[kind], path, file_format, progress)
                messages += loaded.messages
                newest_ms = max(filter(None, (newest_ms, loaded.newest_ms)), default=None)
            while not (app.is_caught_up and progress.sealed >= messages):
                await progress.tick(messages)
            if newest_ms is not None:
                await _end(app, newest_ms, progress)
    finally:
        app.app.stop()
        await asyncio.gather(running, return_exceptions=True)
        app.parts.switch.stop()
        await asyncio.to_thread(app.ingest.maintenance.checkpoints.stop)
    return IngestReport(
        messages=messages,
        rows=app.ingest.sealed_rows,
        dead_letters=app.ingest.sealed_dead_letters,
        findings=app.detect.watch.findings,
        seconds=round(time.monotonic() - began, 2),
        store=app.parts.store.name,
    )


class _Whole(NamedTuple):
    """An app that detects what it seals."""

    app: App
    ingest: Ingest
    detect: Detect

    @property
    def parts(self) -> Parts:
        return self.app.parts

    @property
    def is_caught_up(self) -> bool:
        """Every message that was there is sealed, was seen by the detectors, and told."""
        ends = self.detect.watch.ends
        seen = all(ends.get(key, 0) >= end for key, end in self.ingest.sealed_ends.items())
        return self.ingest.is_caught_up and seen


def _whole(app: App) -> _Whole:
    assert app.ingest is not None and isinstance(app.detect, Detect)  # noqa: S101 (it has all roles)
    return _Whole(app, app.ingest, app.detect)


def _for_files(config: Config) -> Config:
    """All in one process. An idle entry would tell detection of the time of day, which says nothing of what
    a file still holds."""
    worker = config.worker.model_copy(update={"idle_interval_ms": NEVER_MS})
    return config.model_copy(update={"worker": worker, "signals": SignalsConfig()})


async def _end(app: _Whole, newest_ms: int, progress: "_Progress") -> None:
    """Let detection judge the files to their last event, and no further: the same whenever they are loaded,
    and however fast."""
    until_ms = newest_ms + int(app.parts.config.detect.lateness_s * 1000)
    for worker in app.ingest.workers.values():
        await worker.note_end(until_ms)
    enough = app.detect.watch.vain_rounds + VAIN_ROUNDS
    while app.detect.watch.vain_rounds < enough:
        app.detect.handover.arrived.set()
        await progress.tick(None)


def file_source(kind: Format) -> SourceConfig:
    """The source that files are loaded as: whoever loads a file vouches for whom it speaks of."""
    return SourceConfig(
        name=f"files-{kind.replace('_', '-')}",
        topic=f"files-{kind.replace('_', '-')}",
        kind="local",
        format=kind,
        agents=("*",),
        environments=("*",),
    )


class _Loaded(NamedTuple):
    """What a file held."""

    messages: int
    newest_ms: int | None
    """When its newest event ended; None: it has none."""


async def _load(
    app: _Whole, source: SourceConfig, path: Path, file_format: FileFormat, progress: "_Progress"
) -> _Loaded:
    """Append a file's messages to the source's topic, not too far ahead of what is sealed."""
    producer = LocalProducer(app.parts.config.topics, source.topic, app.parts.keys)
    await producer.start()
    loaded = 0
    newest_ms: int | None = None
    progress.begin(path)
    try:
        for batch in _batches(path, file_format):
            ends_ms = [newest_event_ms(message, source) for message in batch]
            now_ms = system_now_ms()
            await producer.append(batch, times_ms=[now_ms if end is None else end for end in ends_ms])
            newest_ms = max(filter(None, (newest_ms, *ends_ms)), default=None)
            loaded += len(batch)
            progress.appended += len(batch)
            while progress.appended - progress.sealed > AHEAD_MESSAGES:
                await progress.tick(None)
    finally:
        await producer.stop()
    return _Loaded(loaded, newest_ms)


class _Progress:
    """How far it is, on a terminal; silent elsewhere."""

    def __init__(self, app: _Whole, running: asyncio.Task[None]) -> None:
        self._app = app
        self._running = running
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} messages sealed"),
            TimeElapsedColumn(),
            disable=not sys.stderr.isatty(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=None)
        self.appended = 0

    @property
    def sealed(self) -> int:
        """Messages sealed since the start."""
        ends, starts = self._app.ingest.sealed_ends, self._app.ingest.sealed_starts
        return sum(end - starts[key] for key, end in ends.items())

    def begin(self, path: Path) -> None:
        """Say which file is being loaded."""
        self._bar.update(self._task, description=path.name)

    async def tick(self, total: int | None) -> None:
        """Show the present state, and let the pipeline work. Raises what ended it."""
        if self._running.done():
            self._running.result()
            raise AuditfuseError("the pipeline ended before everything was sealed; run the command again")
        self._bar.update(self._task, completed=self.sealed, total=total)
        await asyncio.sleep(POLL_S)

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _batches(path: Path, file_format: FileFormat) -> Iterator[list[bytes]]:
    messages = read_messages(path, file_format)
    while batch := list(islice(messages, APPEND_MESSAGES)):
        yield batch


def newest_event_ms(message: bytes, source: SourceConfig) -> int | None:
    """The end of the message's latest event: what a broker that had been there would have stamped. None
    where it holds no event."""
    now_ms = system_now_ms()
    decoded = decode_message(
        message,
        topic_id="",
        partition=0,
        offset=0,
        broker_time_ms=now_ms,
        source=source,
        patterns=ToolPatterns(),
    )
    ends = [item.event.end_time_unix_nano // _NS_PER_MS for item in decoded if isinstance(item.event, Event)]
    return min(max(ends), now_ms) if ends else None
