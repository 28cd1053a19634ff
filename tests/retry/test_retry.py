"""Dead letters that are read again: events of their own identity, linked, once; or the reason why not."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.audit import START_MS, TOPIC_ID, claim
from support.broker import KafkaTopics, TestBroker
from support.erase import store_of, stored_rows
from support.local import LocalTopics
from support.produce import unique
from support.scan import files
from typer.testing import CliRunner

from pipeline.audit.store import Store
from pipeline.audit.verify import verify_store
from pipeline.cli import build_app
from pipeline.config import Config, load_config
from pipeline.decode.sources import SourceConfig
from pipeline.errors import ConfigError, StoreError
from pipeline.keys import Keys
from pipeline.prepare import Batch, Preparation
from pipeline.retry.letters import dead_letters, retry_topic_id
from pipeline.retry.run import Retried, Retrier
from pipeline.tail import Handover, Tail
from pipeline.topics.base import Message
from pipeline.topics.kafka_topic_id import TopicIdentity
from pipeline.topics.local_files import KEY_NAME, TopicDirectory
from schemas.record import Row

EMAIL = "jane.doe@example.org"
LARGE = json.dumps(
    {"start_time_unix_nano": START_MS * 10**6, "agent_id": "clerk", "input": EMAIL, "output": "x" * 3000}
).encode()
GOOD = b'{"start_time_unix_nano": 1, "agent_id": "clerk"}'
SEVERAL = b'[{"agent_id": "a", "start_time_unix_nano": 1}, {"agent_id": "b"}]'
VALUES = [GOOD, LARGE, b"{no json", LARGE, SEVERAL]


def settings_for(folder: Path, topic: str, kind: str, bootstrap: str = "", **source: Any) -> Config:
    """A configuration whose one source reads that topic."""
    fields = {"name": "agents", "topic": topic, "kind": kind, "format": "events", **source}
    told = "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())
    kafka = f'[kafka]\nbootstrap_servers = "{bootstrap}"\n' if bootstrap else ""
    file = folder / "auditfuse.toml"
    file.write_text(
        f'data_dir = "{folder}"\n[[sources]]\n{told}agents = ["*"]\nenvironments = ["*"]\n{kafka}'
        '[redaction]\nnames = "off"\n[worker]\nprocesses = 0\n'
    )
    return load_config(file)


def sealed(config: Config, values: list[bytes], topic_id: str) -> Store:
    """The messages as they were sealed when 2 kB were the limit of one."""
    limited = config.sources[0].model_copy(update={"max_message_bytes": 2000})
    messages = [Message(0, n, START_MS + n, "append", None, value) for n, value in enumerate(values)]
    rows = _rows(config, limited, topic_id, messages)
    store = store_of(config)
    claim(store, topic_id).seal(rows, len(values))
    return store


def _rows(config: Config, source: SourceConfig, topic_id: str, messages: list[Message]) -> list[Row]:
    preparation = Preparation([source], config.tools, config.redaction, Keys(config.keys.path))
    batch = Batch(
        topic_id=topic_id, partition=0, source=source.name, messages=messages, ingest_time_ms=START_MS
    )
    return preparation(batch)


async def _append(topics: LocalTopics | KafkaTopics, topic: str, values: list[bytes]) -> None:
    await topics.create(topic)
    producer = topics.producer(topic)
    await producer.start()
    await producer.append(values, partition=0)
    await producer.stop()


@pytest.fixture
def local(tmp_path: Path) -> tuple[Config, Store]:
    """A local topic that still holds what was sealed of it."""
    topics = LocalTopics(tmp_path)
    asyncio.run(_append(topics, "inputs", VALUES))
    config = settings_for(tmp_path, "inputs", "local")
    key = Keys(config.keys.path).get(KEY_NAME)
    topic_id = TopicDirectory.open(config.topics.path, "inputs", 1, key).topic_id
    return config, sealed(config, VALUES, topic_id)


def retry(config: Config, store: Store, **options: Any) -> dict[int, Retried]:
    """What came of every dead letter, by offset."""
    retrier = Retrier(store, config, Keys(config.keys.path), now_ms=lambda: START_MS + 10**6)
    return {one.letter.offset: one for one in retrier.retry(dead_letters(store), **options)}


def events(store: Store) -> list[tuple[str, int, int, str | None, str]]:
    """(topic id, offset, item, link, agent) of every event, in order."""
    found = [
        (key[0], key[2], key[3], meta["origin"].get("retry_of"), meta["agent_id"])
        for key, row in sorted(stored_rows(store).items())
        if row["kind"] == "event"
        for meta in [json.loads(row["meta"])]
    ]
    return sorted(found)


def test_what_is_an_event_now_is_stored_once_and_linked(local: tuple[Config, Store]) -> None:
    config, store = local
    letters = {letter.offset: letter for letter in dead_letters(store)}
    assert {offset: letter.items for offset, letter in letters.items()} == {1: 1, 2: 1, 3: 1, 4: 2}
    before = stored_rows(store)
    done = retry(config, store)
    assert {offset: one.status for offset, one in done.items()} == {
        1: "retried",
        2: "still a dead letter",
        3: "retried",
        4: "still a dead letter",
    }
    topic_id = letters[1].topic_id
    linked = [one for one in events(store) if one[0] == retry_topic_id(topic_id)]
    assert [(offset, item, link) for _, offset, item, link, _ in linked] == [
        (0, 0, letters[1].identity),
        (1, 0, letters[3].identity),
    ]
    after = stored_rows(store)
    assert {key: after[key] for key in before} == before, "what was sealed stays"
    assert {one.status for one in retry(config, store).values()} == {"already retried", "still a dead letter"}
    assert len(events(store)) == len(linked) + 2, "not stored again"
    report = verify_store(store)
    assert report.holds, report.faults


def test_it_is_redacted_and_trips_nothing(local: tuple[Config, Store]) -> None:
    config, store = local
    retry(config, store)
    rows = [row for row in stored_rows(store).values() if "retry_of" in row["meta"]]
    assert len(rows) == 2 and all(row["broker_time_kind"] == "event" for row in rows)
    assert all("<EMAIL_ADDRESS:" in row["payload"] for row in rows)
    assert not [name for name, content in files(config.store.path) if EMAIL.encode() in content]


def test_an_item_of_a_message_is_retried_alone(tmp_path: Path) -> None:
    values = [
        b'[{"agent_id": "a", "start_time_unix_nano": 1}, {"agent_id": "b", "start_time_unix_nano": "x"}]'
    ]
    topics = LocalTopics(tmp_path)
    asyncio.run(_append(topics, "inputs", values))
    config = settings_for(tmp_path, "inputs", "local")
    key = Keys(config.keys.path).get(KEY_NAME)
    topic_id = TopicDirectory.open(config.topics.path, "inputs", 1, key).topic_id
    store = store_of(config)
    # As an older version may have left it: the second item was refused, and would be an event now.
    source = config.sources[0]
    whole = b'[{"agent_id": "a", "start_time_unix_nano": 1}, {"agent_id": "b", "start_time_unix_nano": 2}]'
    rows = _rows(config, source, topic_id, [Message(0, 0, START_MS, "append", None, values[0])])
    shutil.rmtree(tmp_path / "topics")
    asyncio.run(_append(topics, "inputs", [whole]))
    now_id = TopicDirectory.open(config.topics.path, "inputs", 1, key).topic_id
    mac = Keys(config.keys.path).hmac_hex("raw", whole)
    placed = [_moved(row, now_id, mac) for row in rows]
    claim(store, now_id).seal(placed, 1)
    assert retry(config, store)[0].events == 1
    assert [(one[2], one[4]) for one in events(store) if one[3]] == [(1, "b")]


def _moved(row: Row, topic_id: str, raw_hmac: str) -> Row:
    origin = msgspec.structs.replace(row.fields.origin, topic_id=topic_id, raw_hmac=raw_hmac)
    meta = msgspec.structs.replace(row.fields, origin=origin)
    return msgspec.structs.replace(row, meta=msgspec.json.encode(meta), fields=meta)


def test_a_topic_made_anew_is_told(local: tuple[Config, Store], tmp_path: Path) -> None:
    config, store = local
    shutil.rmtree(config.topics.path / "inputs")
    asyncio.run(_append(LocalTopics(tmp_path), "inputs", [b"other"] * 5))
    assert {one.status for one in retry(config, store).values()} == {"not held"}
    assert "made anew" in retry(config, store)[1].why
    assert len(store.partitions()) == 1, "nothing was begun"


def test_a_message_that_is_not_the_one_is_not_taken_for_it(local: tuple[Config, Store]) -> None:
    config, store = local
    (config.keys.path / "raw.key").unlink()  # as if other bytes stood there
    told = retry(config, store)[1]
    assert told.status == "not held" and "another message is at its offset" in told.why


def test_detection_sees_it_late_and_does_not_wait_for_the_log(local: tuple[Config, Store]) -> None:
    config, store = local
    retry(config, store)
    tail = Tail(store, Handover())
    tail.discover(now_ms=0)
    batches = [b for b in tail.fresh({}) if b.topic_id == retry_topic_id(next(dead_letters(store)).topic_id)]
    assert sum(batch.signals.height for batch in batches) == 2
    assert batches[-1].idle_until_ms is not None and batches[-1].idle_until_ms > START_MS + 10**6


def test_as_a_command(local: tuple[Config, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    config, store = local
    monkeypatch.chdir(config.store.path.parent)
    letters = {letter.offset: letter for letter in dead_letters(store)}

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(build_app(), ["dead-letters", "retry", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    code = "larger-than-max-message-bytes"
    tried = json.loads(run("--reason-code", code, "--dry-run", "--json").stdout)
    assert [one["status"] for one in tried["dead_letters"]] == ["retried", "retried"]
    assert len(store.partitions()) == 1, "a dry run stores nothing"
    place = letters[1].identity.rpartition("/")[0]
    assert "1 retried" in run(place).stdout and "1 already retried" in run(place).stdout
    assert run("--reason-code", "not-json").exit_code == 1
    with pytest.raises(StoreError, match="no dead letter"):
        run(f"{TOPIC_ID}/0/7")
    with pytest.raises(ConfigError, match="not-json"):
        run("--reason-code", "bad")
    with pytest.raises(ConfigError, match="which"):
        run()


async def _topic_id(topics: KafkaTopics, topic: str) -> str:
    identity = TopicIdentity(topics.config, topic)
    try:
        return await identity.look_up()
    finally:
        await identity.close()


@pytest.mark.kafka_apache
def test_from_kafka_until_it_has_expired(tmp_path: Path, kafka: TestBroker) -> None:
    topics, topic = KafkaTopics(kafka), unique("retry")
    asyncio.run(_append(topics, topic, VALUES))
    config = settings_for(tmp_path, topic, "kafka", kafka.bootstrap)
    store = sealed(config, VALUES, asyncio.run(_topic_id(topics, topic)))
    asyncio.run(topics.delete_below(topic, 0, 3))
    done = retry(config, store)
    assert [done[offset].status for offset in (1, 2, 3)] == ["not held", "not held", "retried"]
    assert "begins at offset 3" in done[1].why
    asyncio.run(topics.recreate(topic))
    assert "made anew" in retry(config, store)[1].why
