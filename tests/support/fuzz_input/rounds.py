"""Rounds of mutated messages through the real thing: receiver and local topics, worker and pool, redaction,
seal, detection. After each, every message must have a row, and nothing may have failed on the way."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from support.fuzz_input.mutate import mutated
from support.running import detectors_alone, write_config
from support.webhook import running_webhook

from pipeline.app import App
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import Store
from pipeline.config import Config, load_config
from pipeline.decode.sources import Format
from pipeline.receive.app import create_receiver
from pipeline.roles.detect import Detect
from pipeline.topics.local import LocalProducer

FORMATS: tuple[Format, ...] = ("events", "otlp_spans", "otlp_logs")
FORMAT_OF: Mapping[str, Format] = {
    "events": "events",
    "otlp_json": "otlp_spans",
    "otlp_proto": "otlp_spans",
    "logs_json": "otlp_logs",
    "logs_proto": "otlp_logs",
}
PATH_OF = {"events": "/v1/events", "otlp_spans": "/v1/traces", "otlp_logs": "/v1/logs"}
HTTP_SHARE = 0.1
"""Of all messages: sent to the receiver as bodies. What it refuses is answered, and is no message."""
PARTITIONS = 2
APPEND = 200
STUCK_S = 40.0
"""Without any progress for so long, a partition is blocked."""


class Message(msgspec.Struct, frozen=True):
    """One input: its form, its bytes, and whether it is sent by HTTP."""

    form: str
    content: bytes
    by_http: bool


class Round(msgspec.Struct, kw_only=True):
    """What one round has shown."""

    messages: int = 0
    bodies: int = 0
    """Sent by HTTP …"""
    refused: int = 0
    """… and answered with 4xx."""
    stored: int = 0
    """Messages that were appended: each has at least one row."""
    rows: int = 0
    dead_letters: int = 0
    seconds: float = 0.0
    rss_mb: int = 0
    """The largest process."""
    forms: dict[str, int] = msgspec.field(default_factory=dict)
    failure: str | None = None
    suspects: list[Message] = msgspec.field(default_factory=list)
    """Messages that have no row, where something failed."""


def drawn(seed: int, count: int, seeds: Mapping[str, Sequence[bytes]]) -> list[Message]:
    """So many mutated messages; equal arguments give equal ones."""
    chance = random.Random(seed)
    forms = list(seeds)
    messages: list[Message] = []
    for _ in range(count):
        form = chance.choice(forms)
        content = mutated(chance, chance.choice(seeds[form]), seeds[form], form)
        messages.append(Message(form, content, chance.random() < HTTP_SHARE))
    return messages


def run_round(
    folder: Path, messages: Sequence[Message], *, processes: int, names: str, detectors: Sequence[str] = ()
) -> Round:
    """All of it in a store of its own, which is gone afterwards. `detectors`: these alone, not all."""
    folder.mkdir(parents=True)
    try:
        with running_webhook() as webhook:
            config = _config(folder, processes, names, webhook.url, detectors)
            return asyncio.run(_Run(config, messages).run())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Counted(LocalProducer):
    """Counts what it has appended: a body without items is accepted, and is no message."""

    appended = 0

    async def append(self, values: Sequence[bytes], **options: Any) -> list[tuple[int, int]]:
        placed = await super().append(values, **options)
        self.appended += len(placed)
        return placed


class _Run:
    def __init__(self, config: Config, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._config = config
        self._app = App(config, config.sources, attempts=1)
        assert self._app.ingest is not None
        assert isinstance(self._app.detect, Detect)
        self._ingest, self._seen = self._app.ingest, self._app.detect.watch
        self._outcome = Round(messages=len(messages))
        self._producers: dict[str, _Counted] = {}

    async def run(self) -> Round:
        outcome, started_s = self._outcome, time.monotonic()
        app, pool = self._app, self._ingest.pool
        app.parts.switch.start()
        running = asyncio.create_task(app.run())
        executor = pool._executor
        try:
            await self._send_all()
            await self._until_sealed(running)
        except Exception as error:  # noqa: BLE001 (what is looked for)
            outcome.failure = f"{type(error).__name__}: {error}"
        finally:
            app.stop()
            await asyncio.gather(running, return_exceptions=True)
            app.parts.switch.stop()
            await asyncio.to_thread(self._ingest.maintenance.checkpoints.stop)
        if pool._executor is not executor and outcome.failure is None:
            outcome.failure = "a process of the pool has died"
        self._count_rows()
        outcome.seconds = time.monotonic() - started_s
        return outcome

    async def _send_all(self) -> None:
        for form in FORMATS:
            self._producers[form] = _Counted(self._config.topics, form, self._app.parts.keys)
            await self._producers[form].start()
        receiver = create_receiver(self._config.http, self._config.sources, self._producers.__getitem__)
        transport = httpx.ASGITransport(receiver, client=("127.0.0.1", 40_000))
        self._outcome.forms = dict(Counter(message.form for message in self._messages))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for start in range(0, len(self._messages), APPEND):
                await self._send(self._messages[start : start + APPEND], client)
                self._measure()
        for producer in self._producers.values():
            await producer.stop()

    async def _send(self, messages: Sequence[Message], client: httpx.AsyncClient) -> None:
        for form in FORMATS:
            plain = [m for m in messages if FORMAT_OF[m.form] == form and not m.by_http]
            if plain:
                await self._producers[form].append([message.content for message in plain])
        for message in messages:
            if message.by_http:
                await self._post(message, client)

    async def _post(self, message: Message, client: httpx.AsyncClient) -> None:
        form = FORMAT_OF[message.form]
        kind = "application/x-protobuf" if message.form.endswith("proto") else "application/json"
        headers = {"Content-Type": kind}
        if message.content[:2] == b"\x1f\x8b":
            headers["Content-Encoding"] = "gzip"
        answer = await client.post(PATH_OF[form], content=message.content, headers=headers)
        self._outcome.bodies += 1
        if 400 <= answer.status_code < 500:
            self._outcome.refused += 1
        elif answer.status_code != 200:
            self._outcome.suspects.append(message)
            raise AssertionError(f"the receiver answered {answer.status_code}")

    async def _until_sealed(self, running: "asyncio.Task[None]") -> None:
        """All that was appended is sealed and was seen by detection."""
        seen, moved_s = -1, time.monotonic()
        while True:
            if running.done():
                running.result()
                raise AssertionError("the pipeline ended by itself")
            self._measure()
            ends = self._ends()
            if all(ends[form] >= one.appended for form, one in self._producers.items()) and self._is_seen():
                return
            now = sum(self._ingest.sealed_ends.values()) + sum(self._seen.ends.values())
            if now != seen:
                seen, moved_s = now, time.monotonic()
            assert time.monotonic() - moved_s < STUCK_S, f"blocked: {self._standing()}"
            await asyncio.sleep(0.2)

    def _is_seen(self) -> bool:
        return all(self._seen.ends.get(key, 0) >= end for key, end in self._ingest.sealed_ends.items())

    def _ends(self) -> Counter[str]:
        ends: Counter[str] = Counter()
        for (topic_id, _), end in self._ingest.sealed_ends.items():
            ends[topic_id.rpartition(".")[0]] += end
        return ends

    def _standing(self) -> str:
        """What has not come to its end."""
        seen = self._seen.ends
        behind = [
            f"{key} seen to {seen.get(key, 0)} of {end}"
            for key, end in self._ingest.sealed_ends.items()
            if seen.get(key, 0) < end
        ]
        ends = self._ends()
        sealed = [f"{form} sealed to {ends[form]} of {one.appended}" for form, one in self._producers.items()]
        return "; ".join(sealed + behind)

    def _measure(self) -> None:
        pids = ["self", *map(str, getattr(self._ingest.pool._executor, "_processes", None) or ())]
        for pid in pids:
            self._outcome.rss_mb = max(self._outcome.rss_mb, _resident_mb(pid))

    def _count_rows(self) -> None:
        """From the segments: each offset must have a row."""
        store = Store(self._config.store.local_directory)
        offsets: Counter[str] = Counter()
        for topic_id, partition in store.partitions():
            if topic_id.startswith("_"):
                continue
            for name in PartitionLog.open(store, topic_id, partition).state.live:
                with store.open_segment(topic_id, partition, name) as source:
                    table = open_parquet(source).read(columns=["offset", "kind"])
                self._outcome.rows += table.num_rows
                self._outcome.dead_letters += table["kind"].to_pylist().count("dead_letter")
                offsets[topic_id.rpartition(".")[0]] += len(set(table["offset"].to_pylist()))
        for form, producer in self._producers.items():
            self._outcome.stored += offsets[form]
            if offsets[form] != producer.appended and self._outcome.failure is None:
                self._outcome.failure = f"{form}: {producer.appended} messages, rows of {offsets[form]}"
        if self._outcome.failure is not None and not self._outcome.suspects:
            self._outcome.suspects = list(self._messages)


def _config(folder: Path, processes: int, names: str, page_url: str, detectors: Sequence[str]) -> Config:
    bound = {"kind": "local", "agents": ["*"], "environments": ["*"]}
    return load_config(
        write_config(
            folder,
            data_dir=str(folder),
            sources=[{"name": form, "topic": form, "format": form, **bound} for form in FORMATS],
            worker={"processes": processes, "idle_interval_ms": 2_000},
            topics={"partitions": PARTITIONS},
            redaction={"names": names},
            detect=detectors_alone(*detectors) if detectors else {},
            http={"default_sources": list(FORMATS)},
            store={"compact_interval_s": 60},
            respond={"targets": [{"name": "hook", "url": page_url, "per_minute": 100_000}]},
        )
    )


def _resident_mb(pid: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return 0
