"""Sealed dead letters reach the dead-letter topic at least once, with the row's own bytes and identity."""

import asyncio
import json
import sqlite3
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from support.audit import TOPIC_ID, claim, dead_letter_row, event_rows, seal_batches
from support.broker import KafkaTopics, Reader
from support.local import LocalTopics
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until, write_config

from pipeline.audit.compact import Compactor
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import new_writer_id
from pipeline.clock import system_now_ms
from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.publish.dead_letters import DeadLetters
from pipeline.publish.publisher import Publisher
from pipeline.publish.sealed import BATCH_ROWS
from pipeline.respond.state import StateConfig, StateDatabase
from pipeline.topics.base import Message, Producer

Topics = LocalTopics | KafkaTopics


@pytest.fixture(params=["local", "kafka"])
def topics(request: pytest.FixtureRequest, tmp_path: Path) -> Topics:
    if request.param == "local":
        return LocalTopics(tmp_path)
    return KafkaTopics(request.getfixturevalue("kafka"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def state(tmp_path: Path) -> StateDatabase:
    return StateDatabase(StateConfig.model_validate({"url": f"sqlite:///{tmp_path / 'state.db'}"}))


@pytest.fixture
def name() -> str:
    return f"dead-letters-{uuid.uuid4().hex[:8]}"


async def publish(store: Store, state: StateDatabase, producer: Callable[[], Producer]) -> None:
    """Publish what is sealed now, as a process that stops at once."""
    everything_sealed = asyncio.Event()
    everything_sealed.set()
    await Publisher("dead-letter topic", store, state, DeadLetters(), "output", producer).run(
        everything_sealed
    )


async def read(topics: Topics, name: str, count: int) -> list[Message]:
    async with Reader(topics.consumer(name)) as reader:
        await reader.until(count)
        for _ in range(3):
            await reader.poll()
        return [message for messages in reader.got.values() for message in messages]


def letters(store: Store, offsets: range, topic_id: str = TOPIC_ID) -> dict[bytes, bytes]:
    """Seal a dead letter at every even offset, events between; what must be published, by key."""
    rows = event_rows(offsets.start, len(offsets), topic_id=topic_id)
    for place, offset in enumerate(offsets):
        if offset % 2 == 0:
            rows[place] = dead_letter_row(offset, topic_id=topic_id)
    seal_batches(claim(store, topic_id), [rows])
    return {
        f"{topic_id}/0/{row.offset}/0".encode(): bytes(row.meta) for row in rows if row.kind == "dead_letter"
    }


def by_key(messages: list[Message]) -> dict[bytes, bytes]:
    assert len({message.key for message in messages}) == len(messages)
    return {message.key or b"": message.value or b"" for message in messages}


async def test_every_sealed_dead_letter_is_published_once_and_nothing_else(topics, store, state, name):
    await topics.create(name, 3)
    wanted = letters(store, range(10)) | letters(store, range(4), "other." + "0" * 32)
    await publish(store, state, lambda: topics.producer(name))
    assert by_key(await read(topics, name, 7)) == wanted


async def test_a_restart_goes_on_where_it_was(topics, store, state, name):
    await topics.create(name)
    first = letters(store, range(6))
    await publish(store, state, lambda: topics.producer(name))
    await publish(store, state, lambda: topics.producer(name))
    second = letters(store, range(6, 11))
    await publish(store, state, lambda: topics.producer(name))
    assert by_key(await read(topics, name, 6)) == first | second


async def test_what_was_sent_and_not_noted_is_sent_again_under_the_same_key(tmp_path, store, state, name):
    topics = LocalTopics(tmp_path)
    wanted = letters(store, range(4 * BATCH_ROWS))

    class Dying:
        """Dies after the second batch reached the topic, before that is noted."""

        def __init__(self) -> None:
            self._inner = topics.producer(name)
            self._appended = 0
            self.start, self.stop = self._inner.start, self._inner.stop

        async def append(self, values: list[bytes], **options: object) -> list[tuple[int, int]]:
            placed = await self._inner.append(values, **options)
            self._appended += 1
            if self._appended == BATCH_ROWS + 100:
                raise OSError
            return placed

    with pytest.raises(OSError):
        await publish(store, state, Dying)
    await publish(store, state, lambda: topics.producer(name))
    messages = await read(topics, name, len(wanted))
    assert {message.key: message.value for message in messages} == wanted
    repeated = len(messages) - len(wanted)
    assert 0 < repeated <= BATCH_ROWS + 1, "what was noted is not sent again"


async def test_compaction_between_two_rounds_neither_repeats_nor_loses(tmp_path, store, state, name):
    topics = LocalTopics(tmp_path)
    wanted = letters(store, range(6))
    await publish(store, state, lambda: topics.producer(name))
    wanted |= letters(store, range(6, 12))
    config = StoreConfig(compact_fan_in_files=2, superseded_grace_s=0)
    Compactor(store, config, writer_id=new_writer_id(), now_ms=system_now_ms).run_once()
    assert len(store.segment_names(TOPIC_ID, 0)) < 3
    await publish(store, state, lambda: topics.producer(name))
    assert by_key(await read(topics, name, 6)) == wanted


async def test_another_topic_begins_anew(tmp_path, store, state, name):
    topics = LocalTopics(tmp_path)
    wanted = letters(store, range(4))
    await publish(store, state, lambda: topics.producer(name))
    everything_sealed = asyncio.Event()
    everything_sealed.set()
    another = Publisher(
        "dead-letter topic", store, state, DeadLetters(), "another", lambda: topics.producer("another")
    )
    await another.run(everything_sealed)
    assert by_key(await read(topics, "another", 2)) == wanted


def test_it_must_not_be_an_input(tmp_path: Path) -> None:
    source = {"name": "a", "topic": "t", "kind": "local", "format": "events"}
    source |= {"agents": ["*"], "environments": ["*"]}
    path = write_config(tmp_path, sources=[source], dead_letters={"topic": "t", "kind": "local"})
    with pytest.raises(ConfigError, match=r"dead_letters.topic 't' is a source's topic"):
        load_config(path)


@pytest.mark.timeout(90)
def test_a_broker_that_is_away_holds_up_neither_sealing_nor_the_stop(tmp_path: Path) -> None:
    control, receiver = free_port(), free_port()
    source = {"name": "a", "topic": "a", "kind": "http", "format": "events"}
    write_config(
        tmp_path,
        data_dir=str(tmp_path),
        kafka={"bootstrap_servers": f"127.0.0.1:{free_port()}"},
        sources=[source | {"agents": ["*"], "environments": ["*"]}],
        dead_letters={"topic": "dead-letters", "kind": "kafka"},
        redaction={"names": "off"},
        worker={"processes": 0},
        http={"port": receiver, "default_sources": ["a"]},
        killswitch={"port": control},
    )
    with Running(tmp_path, control) as running:
        wait_until(lambda: _post(receiver, b'{"agent_id": "\xc3\xa9", "start_time_unix_nano": 1}\n{}\n'), 30)
        wait_until(lambda: sealed_rows(tmp_path / "store") == 2, 30, "event and dead letter are sealed")
        wait_until(lambda: "dead-letter topic" in running.log(), 20, "the log says what is away")
        assert json.loads(running.get("/readyz")[1])["parts"]["dead-letter topic"] is False
        assert running.stop(20) == 0
    auditfuse("verify", "--store", str(tmp_path / "store"), cwd=tmp_path)
    with sqlite3.connect(tmp_path / "state.db") as database:
        assert database.execute("select count(*) from published").fetchone() == (0,)


def _post(port: int, body: bytes) -> bool:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/events", body, {"content-type": "application/x-ndjson"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status == 200
    except urllib.error.URLError as error:
        assert not isinstance(error, urllib.error.HTTPError), error
        return False
