"""Anchors: where checkpoints go, while places are up, down, and up again."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from pydantic import TypeAdapter, ValidationError
from support.audit import START_MS, sealed_store
from support.broker import KafkaTopics, TestBroker
from support.checkpoint import NAME, OTHER_KEY, Clock, Host, NoteServer, grow, note_server, notes
from support.webhook import running_webhook

from pipeline.audit.checkpoint.anchors import AnchorError, sender
from pipeline.audit.checkpoint.config import AnchorConfig, CheckpointConfig
from pipeline.audit.checkpoint.delivery import AnchorDelivery
from pipeline.audit.checkpoint.runner import Checkpoints
from pipeline.audit.checkpoint.statement import Checkpoint
from pipeline.audit.store import Store
from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.topics.kafka_config import KafkaConfig


def anchor(**options: Any) -> AnchorConfig:
    return TypeAdapter(AnchorConfig).validate_python({"name": "elsewhere", **options})


@pytest.fixture
def server() -> Iterator[NoteServer]:
    with note_server() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sealed_store(tmp_path / "store")


@pytest.fixture
def host(tmp_path: Path, store: Store) -> Host:
    return Host(tmp_path / "host", store, now_ms=Clock(START_MS))


@pytest.fixture
def checkpoint(host: Host) -> Checkpoint:
    made = host.sequencer.run_once().newest
    assert made is not None
    return made


def deliver(config: AnchorConfig, checkpoint: Checkpoint, kafka: KafkaConfig | None = None) -> None:
    sender(config, kafka or KafkaConfig())(checkpoint)


def delivery(tmp_path: Path, config: AnchorConfig) -> AnchorDelivery:
    send = sender(config, KafkaConfig())
    return AnchorDelivery(config.name, send, tmp_path / "host", first_pause_s=0.05)


# --- the kinds ----------------------------------------------------------------------------------------------


def test_a_directory_keeps_a_file_a_checkpoint(tmp_path: Path, checkpoint: Checkpoint):
    config = anchor(kind="directory", path=tmp_path / "far" / "away")
    deliver(config, checkpoint)
    deliver(config, checkpoint)
    [kept] = (tmp_path / "far" / "away").iterdir()
    assert (kept.name, kept.read_bytes()) == (checkpoint.statement.file_name, checkpoint.note.encode())


def test_a_directory_overwrites_nothing(tmp_path: Path, checkpoint: Checkpoint):
    config = anchor(kind="directory", path=tmp_path / "far")
    deliver(config, checkpoint)
    signed_again = Checkpoint(
        checkpoint.note.with_signatures([OTHER_KEY.sign(checkpoint.note.text)]), checkpoint.statement
    )
    deliver(config, signed_again)
    kept = {path.read_bytes() for path in (tmp_path / "far").iterdir()}
    assert kept == {checkpoint.note.encode(), signed_again.note.encode()}


def test_a_directory_that_cannot_be_made(tmp_path: Path, checkpoint: Checkpoint):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnchorError, match="Not a directory"):
        deliver(anchor(kind="directory", path=tmp_path / "file" / "x"), checkpoint)


def test_http_gets_the_note_with_headers_from_the_environment(
    server: NoteServer, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ANCHOR_URL", server.url)
    monkeypatch.setenv("ANCHOR_TOKEN", "Bearer much-secret")
    headers = {"Authorization": "ANCHOR_TOKEN"}
    config = anchor(kind="http", url_env="ANCHOR_URL", headers_env=headers)
    deliver(config, checkpoint)
    assert server.notes == [checkpoint.note.encode()]
    assert server.headers[0]["Authorization"] == "Bearer much-secret"
    assert server.headers[0]["Content-Type"] == "text/plain; charset=utf-8"
    assert "much-secret" not in repr(config)
    monkeypatch.delenv("ANCHOR_TOKEN")
    with pytest.raises(ConfigError, match="ANCHOR_TOKEN is not set"):
        deliver(config, checkpoint)


@pytest.mark.parametrize("status", [302, 401, 500])
def test_http_that_does_not_take_it(server: NoteServer, checkpoint: Checkpoint, status: int):
    server.status = status
    with pytest.raises(AnchorError, match=f"HTTP {status}"):
        deliver(anchor(kind="http", url=server.url), checkpoint)


def test_an_error_tells_no_address(checkpoint: Checkpoint):
    with pytest.raises(AnchorError) as refused:
        deliver(anchor(kind="http", url="http://secret-user:secret-word@127.0.0.1:9/x"), checkpoint)
    assert "secret" not in str(refused.value)
    assert "127.0.0.1" not in str(refused.value)


def test_apprise_tells_people(checkpoint: Checkpoint):
    with running_webhook() as webhook:
        deliver(anchor(kind="apprise", url=webhook.url), checkpoint)
        [message] = webhook.requests
        assert f"{checkpoint.statement.size} log entries of {NAME}" in message["title"]
        assert Checkpoint.parse((message["message"].rstrip() + "\n").encode()) == checkpoint
        webhook.status = 503
        with pytest.raises(AnchorError, match="503"):
            deliver(anchor(kind="apprise", url=webhook.url), checkpoint)


async def test_kafka_gets_a_message_with_the_origin_as_key(kafka: TestBroker, checkpoint: Checkpoint):
    topic = f"checkpoints-{os.getpid()}-{time.monotonic_ns()}"
    await KafkaTopics(kafka).create(topic)
    config = kafka.config()
    await asyncio.to_thread(deliver, anchor(kind="kafka", topic=topic), checkpoint, config)
    consumer: Any = AIOKafkaConsumer(topic, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        message = await asyncio.wait_for(consumer.getone(), 20)
    finally:
        await consumer.stop()
    assert (message.key, message.value) == (NAME.encode(), checkpoint.note.encode())


def test_kafka_that_is_away(checkpoint: Checkpoint):
    config = KafkaConfig(bootstrap_servers="127.0.0.1:9", request_timeout_ms=1000)
    with pytest.raises(AnchorError):
        deliver(anchor(kind="kafka", topic="t", timeout_s=3), checkpoint, config)


# --- delivery -----------------------------------------------------------------------------------------------


def test_an_anchor_that_was_down_gets_the_newest_and_no_flood(
    tmp_path: Path, server: NoteServer, store: Store, host: Host, checkpoint: Checkpoint
):
    server.status = 503
    worker = delivery(tmp_path, anchor(kind="http", url=server.url))
    worker.start()
    worker.offer(checkpoint)
    server.wait_for(attempts=2)
    newest = checkpoint
    for _ in range(5):
        grow(store)
        newest = host.sequencer.run_once().newest or newest
        worker.offer(newest)
    server.status = 200
    server.wait_for(notes=1)
    worker.stop()
    assert server.notes == [newest.note.encode()]


def test_a_restart_neither_repeats_nor_forgets(
    tmp_path: Path, server: NoteServer, store: Store, host: Host, checkpoint: Checkpoint
):
    config = anchor(kind="http", url=server.url)
    assert delivery(tmp_path, config).deliver(checkpoint)
    assert not delivery(tmp_path, config).deliver(checkpoint)
    again = host.restarted().run_once().newest
    assert again is not None
    assert not delivery(tmp_path, config).deliver(again)
    grow(store)
    newest = host.sequencer.run_once().newest
    assert newest is not None
    assert delivery(tmp_path, config).deliver(newest)
    assert server.notes == [checkpoint.note.encode(), newest.note.encode()]


def test_a_store_that_fell_behind_its_anchor_is_told_and_sent(
    tmp_path: Path,
    server: NoteServer,
    store: Store,
    host: Host,
    checkpoint: Checkpoint,
    capsys: pytest.CaptureFixture[str],
):
    config = anchor(kind="http", url=server.url)
    grow(store)
    newest = host.sequencer.run_once().newest
    assert newest is not None
    delivery(tmp_path, config).deliver(newest)
    assert delivery(tmp_path, config).deliver(checkpoint)
    assert "an anchor has a larger checkpoint than the store" in capsys.readouterr().out


def test_a_memory_that_was_damaged_sends_again(tmp_path: Path, server: NoteServer, checkpoint: Checkpoint):
    config = anchor(kind="http", url=server.url)
    delivery(tmp_path, config).deliver(checkpoint)
    (tmp_path / "host" / "anchor-elsewhere.json").write_bytes(b"{")
    assert delivery(tmp_path, config).deliver(checkpoint)


def test_one_anchor_that_is_down_holds_up_no_other_and_not_the_end(
    tmp_path: Path, server: NoteServer, store: Store
):
    anchors = (
        anchor(name="down", kind="http", url="http://127.0.0.1:9/"),
        anchor(name="up", kind="http", url=server.url),
        anchor(name="disk", kind="directory", path=tmp_path / "far"),
    )
    config = CheckpointConfig(state=tmp_path / "state", anchors=anchors, interval_s=3600)
    running = Checkpoints(store, config, tmp_path / "keys", KafkaConfig(), now_ms=Clock(START_MS))
    running.start()
    server.wait_for(notes=1)
    grow(store)
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 10
    assert server.notes == [note.read_bytes() for note in notes(tmp_path / "store")]
    assert len(server.notes) == 2
    assert len(list((tmp_path / "far").iterdir())) == 2


def test_switched_off_it_does_nothing(tmp_path: Path, store: Store):
    config = CheckpointConfig(state=tmp_path / "state", enabled=False)
    running = Checkpoints(store, config, tmp_path / "keys", KafkaConfig(), now_ms=Clock(START_MS))
    running.start()
    running.stop()
    assert notes(tmp_path / "store") == []
    assert not (tmp_path / "keys").exists()


# --- configuration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "carrier pigeon"},
        {"kind": "http"},
        {"kind": "http", "url": "http://a", "url_env": "B"},
        {"kind": "directory"},
        {"kind": "directory", "path": "x", "topic": "t"},
        {"kind": "kafka", "topic": "t", "name": "Two Words"},
        {"kind": "kafka", "topic": "t", "timeout_s": 0},
    ],
)
def test_what_is_no_anchor(options: dict[str, Any]):
    with pytest.raises(ValidationError):
        anchor(**options)


def test_two_anchors_have_two_names():
    with pytest.raises(ValidationError, match="two anchors are named elsewhere"):
        CheckpointConfig(anchors=(anchor(kind="kafka", topic="a"), anchor(kind="kafka", topic="b")))


@pytest.mark.parametrize(
    "section",
    [
        'state = "store/state"',
        'keys = ["store/checkpoint.key"]',
        'anchors = [{ name = "a", kind = "directory", path = "store" }]',
        'anchors = [{ name = "a", kind = "directory", path = "link/inside" }]',
    ],
)
def test_nothing_of_it_may_lie_in_the_store(tmp_path: Path, section: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    (tmp_path / "a.toml").write_text(f'[store]\npath = "store"\n[checkpoint]\n{section}\n')
    with pytest.raises(ConfigError, match=r"lies (with)?in the store"):
        load_config(tmp_path / "a.toml")
