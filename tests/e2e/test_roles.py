"""Roles: seven processes on one store find, page and trip what one process does, whoever of them dies."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from support.broker import TestBroker
from support.postgres import PostgresServer
from support.produce import create_topic, produce, unique
from support.roles import SHARDS, TRIPPED, Alone, Deployment, findings, is_enabled, pages, stream
from support.running import sealed_rows, wait_until
from support.webhook import Webhook, running_webhook

PARTITIONS = 4
WAIT_S = 300
EXPECTED = {"error_spike", "auth_failure", "write_burst", "shared_dependency"}

pytestmark = [pytest.mark.kafka, pytest.mark.kafka_apache, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def webhooks() -> Iterator[tuple[Webhook, Webhook]]:
    with running_webhook() as many, running_webhook() as one:
        yield many, one


@pytest.fixture(scope="module")
def topic(kafka: TestBroker) -> str:
    name = unique("roles")
    asyncio.run(create_topic(kafka.bootstrap, name, PARTITIONS))
    return name


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory,
    kafka: TestBroker,
    postgres: PostgresServer,
    topic: str,
    webhooks: tuple[Webhook, Webhook],
) -> Iterator[Deployment]:
    signals = unique("signals")
    asyncio.run(create_topic(kafka.bootstrap, signals, SHARDS))
    folder = tmp_path_factory.mktemp("roles")
    started = Deployment(folder, kafka.bootstrap, topic, signals, postgres.database(), webhooks[0])
    yield started
    for member in started.members:
        member.__exit__()


@pytest.fixture(scope="module")
def alone(
    tmp_path_factory: pytest.TempPathFactory,
    kafka: TestBroker,
    topic: str,
    webhooks: tuple[Webhook, Webhook],
) -> Iterator[Alone]:
    started = Alone(tmp_path_factory.mktemp("alone") / "one", kafka.bootstrap, topic, webhooks[1])
    yield started
    started.server.__exit__()


def test_the_roles_together_do_what_one_process_does_whoever_dies(
    kafka: TestBroker, deployment: Deployment, alone: Alone, topic: str, webhooks: tuple[Webhook, Webhook]
) -> None:
    for member in [*deployment.members, alone.server]:
        member.wait_ready(WAIT_S)
    messages = stream(int(time.time() * 1000) - 600_000)
    half = len(messages) * 2 // 3
    asyncio.run(produce(kafka.bootstrap, topic, messages[:half], PARTITIONS))
    wait_until(lambda: not is_enabled(deployment.control, TRIPPED), WAIT_S, "the trip is served by control")
    for victim in (deployment.detect[0], deployment.active(), deployment.ingest[0]):
        victim.kill()
    asyncio.run(produce(kafka.bootstrap, topic, messages[half:], PARTITIONS))

    wait_until(lambda: sealed(alone) == sealed(deployment) == len(messages), WAIT_S, "all events sealed")
    wait_until(lambda: alone.is_detected() and deployment.is_detected(), WAIT_S, "all of it seen")
    wait_until(lambda: detectors_of(settled(alone)) >= EXPECTED, WAIT_S, "all faults found")
    wait_until(lambda: settled(alone) == settled(deployment), WAIT_S, "the same findings")
    many, one = webhooks
    wait_until(lambda: pages(many) == pages(one) and len(pages(one)) >= 3, WAIT_S, "the same is paged")
    assert many.repeats == {}
    assert one.repeats == {}
    assert not is_enabled(deployment.control, TRIPPED)


def sealed(one: Alone | Deployment) -> int:
    return sealed_rows(one.store)


def settled(one: Alone | Deployment) -> dict[str, bytes]:
    return findings(one.store)


def detectors_of(found: dict[str, bytes]) -> set[str]:
    return {json.loads(body)["detector"] for body in found.values()}
