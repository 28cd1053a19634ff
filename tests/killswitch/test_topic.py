"""The compacted topic of trips, on a real broker: what a follower reads is what is served."""

import asyncio
import json
import time

import pytest
from support.broker import KafkaTopics, Reader
from support.killswitch import FakeControl, running_switch, until
from support.produce import unique

from pipeline.errors import TopicError
from pipeline.killswitch.topic import STATE_KEY, TopicPublisher
from pipeline.topics.kafka import KafkaProducer
from pipeline.topics.kafka_compacted import live_keys
from schemas.command import Selector


@pytest.fixture
def topics(kafka):
    return KafkaTopics(kafka)


@pytest.fixture
def topic(topics):
    name = unique("trips")
    asyncio.run(topics.create(name, 2, **{"cleanup.policy": "compact"}))
    return name


@pytest.fixture
def publish(topics, topic):
    """Starts the publisher of a switch on the topic."""
    started = []

    def start(switch, name=topic):
        config = topics.config
        publisher = TopicPublisher(
            switch,
            lambda: KafkaProducer(config, name, idempotent=topics.broker.is_apache),
            lambda: live_keys(config, name),
        )
        publisher.start()
        started.append(publisher)
        return publisher

    yield start
    for publisher in started:
        publisher.stop()


def follow(topics, topic):
    """What a follower of the topic knows: by key, the newest value that is no tombstone."""

    async def read():
        async with Reader(topics.consumer(topic)) as reader:
            for _ in range(4):
                await reader.poll()
            return [message for messages in reader.got.values() for message in messages]

    known = {}
    for message in sorted(asyncio.run(read()), key=lambda one: one.offset):
        known[message.key.decode()] = message.value and json.loads(message.value)
    return {key: value for key, value in known.items() if value is not None}


def lift(switch, trip):
    request = switch.request_reset([trip.id], by="alice", reason="r")
    until(lambda: switch.standing(request.id) == "sealed")
    approval = switch.approve_reset(request.id, by="bob", reason="r")
    until(lambda: switch.standing(approval.id) == "sealed")


def test_a_follower_knows_what_is_served(topics, topic, publish, tmp_path):
    control = FakeControl()
    with running_switch(tmp_path / "a", control) as switch:
        publisher = publish(switch)
        kept = switch.trip(Selector(agent="x", tool="refund"), "throttle", by="alice", reason="too fast")
        lifted = switch.trip(Selector(agent="y"), "off", by="alice", reason="r")
        lift(switch, lifted)
        until(lambda: publisher._published.get(STATE_KEY) == switch.state.digest.encode(), 30)
        publisher.stop()
        told = follow(topics, topic)
        assert told.keys() == {"state", kept.id}
        assert told["state"]["digest"] == switch.state.digest
        trip = told[kept.id]
        assert (trip["mode"], trip["throttle_per_minute"], trip["reason"]) == ("throttle", 6, "too fast")
        assert trip["selector"] == {"environment": None, "agent": "x", "version": None, "tool": "refund"}
        lift(switch, kept)
    with running_switch(tmp_path / "a", control) as switch:  # lifted while nobody published
        until(lambda: switch.caught_up)
        publish(switch).stop()
        assert follow(topics, topic).keys() == {"state"}


def test_a_host_that_is_behind_ends_nothing_that_it_does_not_know_to_be_lifted(
    topics, topic, publish, tmp_path
):
    with running_switch(tmp_path / "a") as ahead, running_switch(tmp_path / "b") as behind:
        trip = ahead.trip(Selector(agent="x"), "off", by="alice", reason="r")
        publish(ahead).stop()
        publish(behind).stop()
        assert trip.id in follow(topics, topic)


def test_a_trip_does_not_wait_for_a_topic_that_is_not_there(topics, publish, tmp_path):
    with running_switch(tmp_path / "a") as switch:
        publish(switch, unique("nowhere"))
        began = time.monotonic()
        switch.trip(Selector(agent="x"), "off", by="alice", reason="r")
        assert time.monotonic() - began < 1.0
        assert len(switch.state.in_force) == 1


class FlakyProducer:
    """A topic in memory that can be broken, and that can hang."""

    def __init__(self, kept):
        self.kept = kept

    async def start(self):
        if self.kept["broken"]:
            raise TopicError("Kafka does not answer")

    async def append(self, values, *, key):
        await self.start()
        self.kept["rows"].append((key.decode(), values[0]))

    async def stop(self):
        pass


def test_what_could_not_be_published_is_published_when_kafka_is_back(tmp_path):
    kept = {"broken": True, "rows": []}

    async def no_keys():
        return set()

    with running_switch(tmp_path / "a") as switch:
        publisher = TopicPublisher(switch, lambda: FlakyProducer(kept), no_keys)
        publisher.start()
        until(lambda: publisher.health.fault is not None)
        trip = switch.trip(Selector(agent="x"), "off", by="alice", reason="r")
        assert switch.status().parts["topic"].working is False
        kept["broken"] = False
        until(lambda: any(key == trip.id for key, _ in kept["rows"]), 20)
        until(lambda: switch.status().parts["topic"].working)
        publisher.stop()
