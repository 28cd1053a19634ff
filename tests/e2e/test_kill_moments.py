"""`kill -9` of the worker at moments spread over sealed progress, on a real broker, input paced."""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from support.broker import TestBroker
from support.crash import Launcher, launching
from support.crash_checks import Sealed, assert_sound, finding_ids, incidents, pages_of
from support.long import by_form
from support.produce import create_topic, unique
from support.running import detectors_alone, free_port, wait_until, write_config
from support.webhook import Webhook, running_webhook

from pipeline.generate.faults import Fault
from pipeline.generate.stream import StreamConfig, fleet, generate

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

PARTITIONS = 3
KILLS = by_form(short=6, long=20)
STREAM = StreamConfig(
    seed=20,
    agents=fleet(4, 300.0),
    length_s=60.0,
    faults=(
        Fault("write_burst", "agent-001", 10, 50, factor=4),
        Fault("auth_failure", "agent-002", 20, 40, factor=10),
    ),
)
"""The floors count in append time: produced faster than it happened, both faults are far above them."""
PLANTED = {"agent-001/write_burst", "agent-002/auth_failure"}


def write(folder: Path, kafka: TestBroker, topic: str, url: str) -> Path:
    """A configuration without names and processes, sealing often."""
    folder.mkdir(exist_ok=True)
    write_config(
        folder,
        data_dir=".",
        store={"seal_interval_ms": 100},
        worker={"processes": 0},
        redaction={"names": "off"},
        kafka={
            "bootstrap_servers": kafka.bootstrap,
            "group_id": unique("moments"),
            "group_instance_id": "one",
        },
        sources=[
            {
                "name": "agents",
                "topic": topic,
                "kind": "kafka",
                "format": "events",
                "agents": ["*"],
                "environments": ["*"],
                "approvals": "trusted",
            }
        ],
        detect=detectors_alone("write_burst", "auth_failure"),
        killswitch={"port": free_port()},
        respond={"targets": [{"name": "hook", "url": url, "per_minute": 1_000}]},
    )
    return folder


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    with launching() as launcher:
        yield launcher


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as webhook:
        yield webhook


def test_killed_at_moments_of_sealed_progress(
    tmp_path: Path, kafka: TestBroker, launcher: Launcher, webhook: Webhook
) -> None:
    topic = unique("moments")
    asyncio.run(create_topic(kafka.bootstrap, topic, PARTITIONS))
    messages = [msgspec.json.encode(one) for one in generate(STREAM)]
    total = len(messages)
    folder = write(tmp_path / "killed", kafka, topic, webhook.url)
    launcher.start(folder)
    sealed = Sealed(folder / "store", topic)
    reached: list[int] = []
    step, upto = total // (KILLS + 1), 0
    for moment in range(step, step * KILLS + 1, step):
        # Paced by the kills: there is always more to read than the moment that is waited for.
        produced, upto = upto, moment + step // 2
        asyncio.run(send(kafka, topic, messages[produced:upto], produced))
        wait_until(lambda moment=moment: sealed.messages() >= moment, 60, f"{moment} messages sealed")
        assert launcher.end(signal.SIGKILL) == -signal.SIGKILL, (folder / "run.log").read_text()[-3_000:]
        reached.append(sealed.messages())
        launcher.start(folder)
    assert len(set(reached)) == KILLS, f"not spread over progress: {reached}"
    asyncio.run(send(kafka, topic, messages[upto:], upto))
    finish(launcher, folder, topic, total, webhook)

    clean = write(tmp_path / "clean", kafka, topic, webhook.url)
    shutil.copytree(folder / "keys", clean / "keys")
    launcher.start(clean)
    finish(launcher, clean, topic, total, webhook)

    rows, uninterrupted = assert_sound(folder / "store"), assert_sound(clean / "store")
    assert len(rows) == total
    assert {row[:4]: row.content for row in rows} == {row[:4]: row.content for row in uninterrupted}
    found = finding_ids(folder / "store")
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(finding_ids(clean / "store"))
    told = incidents(folder / "state.db")
    assert set(told.values()) >= PLANTED
    assert told == incidents(clean / "state.db")
    assert set(pages_of(webhook, folder / "state.db").values()) == {1}


async def send(kafka: TestBroker, topic: str, messages: list[bytes], first: int) -> None:
    """Send messages round robin, the first of them numbered `first` in the stream."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
        for number, message in enumerate(messages, first):
            await producer.send(topic, message, partition=number % PARTITIONS)


def finish(launcher: Launcher, folder: Path, topic: str, total: int, webhook: Webhook) -> None:
    """Let it run until everything is sealed and told, then stop it as an operator does."""
    sealed = Sealed(folder / "store", topic)
    wait_until(lambda: sealed.messages() == total, 60, "everything is sealed")
    database = folder / "state.db"
    wait_until(lambda: set(incidents(database).values()) >= PLANTED, 30, "the planted incidents")
    wait_until(lambda: all(pages_of(webhook, database).values()), 30, "every incident is paged")
    assert launcher.end(signal.SIGTERM) == 0, (folder / "run.log").read_text()[-3_000:]
