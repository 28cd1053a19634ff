"""What only the Kafka topic promises, on the real broker, and its configuration."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import ValidationError
from support.broker import KafkaTopics, Reader, produce

from pipeline.errors import ConfigError, TopicError
from pipeline.topics.base import Bounds, OffsetOutOfRange
from pipeline.topics.kafka import KafkaConfig, KafkaConsumer, KafkaProducer


@pytest.fixture
def topics(kafka) -> KafkaTopics:
    return KafkaTopics(kafka)


@pytest.mark.kafka_apache
async def test_the_senders_clock_is_told_from_the_brokers(topics, name):
    await topics.create(name, **{"message.timestamp.type": "CreateTime"})
    async with AIOKafkaProducer(bootstrap_servers=topics.broker.bootstrap) as producer:
        await producer.send_and_wait(name, b"x", timestamp_ms=1_700_000_000_000)
    async with Reader(topics.consumer(name)) as reader:
        (message,) = await reader.until(1)
        assert (message.time_kind, message.time_ms) == ("create", 1_700_000_000_000)


@pytest.mark.kafka_apache
async def test_offsets_that_transactions_take_are_gaps_and_nothing_waits_for_them(topics, name):
    await topics.create(name)
    producer = AIOKafkaProducer(bootstrap_servers=topics.broker.bootstrap, transactional_id=name)
    async with producer:
        for i in range(3):
            async with producer.transaction():
                await producer.send_and_wait(name, b"%d" % i)
    async with Reader(topics.consumer(name)) as reader:
        messages = await reader.until(3)
        assert [(m.offset, m.value) for m in messages] == [(0, b"0"), (2, b"1"), (4, b"2")]
        assert (await reader.consumer.bounds([0]))[0] == Bounds(0, 6)


@pytest.mark.kafka_apache
async def test_an_offset_that_retention_took_is_an_error_never_a_skip(topics, name):
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"%d" % i for i in range(10)])
    await topics.delete_below(name, 0, 6)
    async with Reader(topics.consumer(name), {0: 2}) as reader:
        with pytest.raises(OffsetOutOfRange) as caught:
            for _ in range(100):
                await reader.poll()
        assert (caught.value.partition, caught.value.offset) == (0, 2)
        assert reader.got == {}
        assert (await reader.consumer.bounds([0]))[0] == Bounds(6, 10)
        reader.consumer.seek(0, 6)
        assert [m.offset for m in await reader.until(4)] == [6, 7, 8, 9]


async def test_a_committed_offset_ahead_of_the_store_skips_nothing(topics, name):
    """The race of facts: between assignment and seek, aiokafka may fetch from the committed offset."""
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"%d" % i for i in range(100)])
    async with Reader(topics.consumer(name)) as reader:
        await reader.until(100)
        await reader.consumer.commit({0: 90})
    for start in (0, 50, 95):
        async with Reader(topics.consumer(name), {0: start}) as reader:
            messages = await reader.until(100 - start)
            assert [m.offset for m in messages] == list(range(start, 100))


async def test_polls_during_the_assignment_get_nothing_from_elsewhere(topics, name):
    """Records of a partition that the listener has not placed yet are dropped, not delivered."""
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"%d" % i for i in range(10)])
    async with Reader(topics.consumer(name), {0: 4}) as reader:
        await reader.until(6)
        inner = reader.consumer
        records = await fetch_records(topics, name)
        assert [m.offset for m in inner._accept(*records)] == [], "expected offset is 10 by now"
        inner._expected = {0: 7}
        assert [m.offset for m in inner._accept(*records)] == [7, 8, 9]
        inner._expected = {}
        assert inner._accept(*records) == []


async def fetch_records(topics, name):
    from aiokafka import AIOKafkaConsumer

    plain = AIOKafkaConsumer(name, bootstrap_servers=topics.broker.bootstrap, auto_offset_reset="earliest")
    async with plain:
        found = {}
        while not found:
            found = await plain.getmany(timeout_ms=500)
        return next(iter(found.items()))


@pytest.mark.kafka_apache
async def test_a_topic_made_anew_under_a_running_consumer_stops_it(topics, name):
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"old"])
    config = topics.broker.config(identity_check_s=0.2)
    async with Reader(KafkaConsumer(config, name)) as reader:
        await reader.until(1)
        await topics.recreate(name)
        with pytest.raises(TopicError, match="made anew"):
            for _ in range(200):
                await reader.poll()


async def test_a_consumer_that_stands_still_is_made_anew(topics, name):
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"%d" % i for i in range(5)])
    config = topics.broker.config(stall_timeout_s=0.5)
    async with Reader(KafkaConsumer(config, name)) as reader:
        await reader.until(5)
        for _ in range(12):
            await reader.poll()
        assert reader.consumer.restarts == 0, "idle is not stalled"

        async def stuck(**_):
            await asyncio.sleep(0.05)
            return {}

        reader.consumer._consumer.getmany = stuck
        await produce(topics.broker.bootstrap, name, [b"5"])
        assert [m.offset for m in await reader.until(6)] == list(range(6))
        assert reader.consumer.restarts == 1
        assert reader.revoked == [[0]]


@pytest.mark.kafka_apache
async def test_a_consumer_that_fetches_no_more_is_made_anew_though_it_is_a_member(topics, name):
    """As aiokafka's known defects look from outside: it beats, owns its partitions, and brings nothing."""
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"%d" % i for i in range(5)])
    config = topics.broker.config(stall_timeout_s=0.5)
    async with Reader(KafkaConsumer(config, name)) as reader:
        await reader.until(5)
        reader.consumer._consumer._fetcher._fetch_task.cancel()
        await produce(topics.broker.bootstrap, name, [b"5"])
        assert [m.offset for m in await reader.until(6)] == list(range(6))
        assert reader.consumer.restarts == 1


@pytest.mark.kafka_apache
async def test_a_static_member_that_is_back_in_time_moves_no_partition(topics, name):
    await topics.create(name, 4)
    group = topics.broker.config().group_id

    def member(instance):
        return Reader(KafkaConsumer(topics.broker.config(group_id=group, group_instance_id=instance), name))

    async with member("one") as one, member("two") as two:
        await until_shared([one, two], 4)
        before, assigned, revoked = set(one.owned), len(two.assigned), len(two.revoked)
        await one.__aexit__()
        async with member("one") as again:
            await again.until_assigned(before)
            await produce(topics.broker.bootstrap, name, [b"x"] * 40)
            while sum(map(len, (again.got | two.got).values())) < 40:
                await asyncio.gather(again.poll(), two.poll())
        assert (len(two.assigned), len(two.revoked)) == (assigned, revoked), "the other has kept its own"
        assert set(again.got) <= before


async def until_shared(readers, partitions):
    """Poll until all partitions are owned, some by each."""
    for _ in range(300):
        owned = [reader.owned for reader in readers]
        if all(owned) and len(set().union(*owned)) == sum(map(len, owned)) == partitions:
            return
        await asyncio.gather(*(reader.poll(max_messages=1) for reader in readers))
    raise AssertionError([reader.owned for reader in readers])


@pytest.mark.kafka_apache
async def test_a_stop_while_a_fetch_waits_after_an_error_cancels_nobody(topics, name):
    """aiokafka's stop() raised the fetch's CancelledError: the process took it for its own and ended."""
    await topics.create(name)
    await produce(topics.broker.bootstrap, name, [b"x"])
    async with Reader(topics.consumer(name)) as reader:
        await reader.until(1)
        inner = reader.consumer._consumer
        inner._fetcher._pending_tasks.add(asyncio.create_task(asyncio.sleep(60)))
    assert not any(one.connected() for one in inner._client._conns.values()), "it is disconnected too"


async def test_no_broker_is_an_error_that_names_the_address(name):
    config = KafkaConfig(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(TopicError, match=r"127\.0\.0\.1:1 does not answer"):
        await KafkaProducer(config, name).start()
    with pytest.raises(TopicError, match=r"127\.0\.0\.1:1 does not answer"):
        await Reader(KafkaConsumer(config, name)).__aenter__()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"bootstrap_servers": "kafka"}, "'kafka' is not host:port"),
        ({"security_protocol": "SASL_SSL"}, "sasl_username is missing"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "u"}, "sasl_password_file"),
        ({"sasl_username": "u"}, "does not use it"),
        ({"ssl_cafile": "ca.pem"}, "does not use TLS"),
        ({"security_protocol": "SSL", "ssl_certfile": "c.pem"}, "ssl_keyfile is missing"),
        ({"security_protocol": "SSL", "ssl_keyfile": "k.pem"}, "ssl_certfile is missing"),
        ({"session_timeout_ms": 6000}, "a third"),
        ({"bootstrap": "x:1"}, "bootstrap"),
    ],
)
def test_a_configuration_mistake_is_named(options, named):
    with pytest.raises(ValidationError, match=named):
        KafkaConfig.model_validate(options)


def test_the_password_comes_from_its_file_and_never_shows(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    base = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "auditfuse"}
    from_file = KafkaConfig.model_validate({**base, "sasl_password_file": secret})
    assert from_file.connection_options()["sasl_plain_password"] == "correct horse"
    direct = KafkaConfig.model_validate({**base, "sasl_password": "correct horse"})
    assert direct.connection_options()["sasl_plain_password"] == "correct horse"
    assert "correct horse" not in repr(direct) + direct.model_dump_json()
    missing = KafkaConfig.model_validate({**base, "sasl_password_file": tmp_path / "none"})
    with pytest.raises(ConfigError, match=r"sasl_password_file: .*none"):
        missing.connection_options()


def test_tls_files_that_are_missing_or_no_certificates_are_named(tmp_path):
    (tmp_path / "ca.pem").write_text("not a certificate")
    for path, named in (("ca.pem", "ssl_"), ("gone.pem", "ssl_cafile.*gone.pem")):
        config = KafkaConfig.model_validate({"security_protocol": "SSL", "ssl_cafile": tmp_path / path})
        with pytest.raises(ConfigError, match=named):
            config.connection_options()
    tls = KafkaConfig.model_validate({"security_protocol": "SSL"}).connection_options()["ssl_context"]
    assert tls.check_hostname
