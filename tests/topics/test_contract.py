"""What every topic promises (pipeline/topics/base.py), held against the local and the Kafka one.

A local topic has no consumer groups: every consumer reads all partitions, and the store's claim decides
who may seal. So the test of two members is Kafka's alone.
"""

import time

import pytest
from support.broker import KafkaTopics, Reader

from pipeline.errors import TopicError
from pipeline.topics.base import Bounds, OffsetOutOfRange


async def append(topics, name, values, **options):
    producer = topics.producer(name)
    await producer.start()
    try:
        return await producer.append(values, **options)
    finally:
        await producer.stop()


@pytest.mark.kafka_apache
async def test_messages_are_read_in_the_order_appended(topics, name):
    await topics.create(name)
    values = [b"message %d" % i for i in range(2500)]
    before_ms = time.time_ns() // 1_000_000
    placed = await append(topics, name, values, partition=0, key=b"k")
    assert placed == [(0, i) for i in range(2500)]
    async with Reader(topics.consumer(name)) as reader:
        messages = await reader.until(2500)
        assert [m.value for m in messages] == values
        assert [(m.partition, m.offset) for m in messages] == placed
        assert {m.key for m in messages} == {b"k"}
        assert {m.time_kind for m in messages} == {"append"}
        assert all(before_ms - 1000 <= m.time_ms <= time.time_ns() // 1_000_000 + 1000 for m in messages)
        assert [m.time_ms for m in messages] == sorted(m.time_ms for m in messages)


async def test_a_poll_returns_no_more_than_asked_for(topics, name):
    await topics.create(name, 2)
    for partition in (0, 1):
        await append(topics, name, [b"x"] * 20, partition=partition)
    async with Reader(topics.consumer(name)) as reader:
        while sum(map(len, reader.got.values())) < 40:
            assert sum(map(len, (await reader.poll(max_messages=7)).values())) <= 7


async def test_reading_starts_at_the_offset_that_the_listener_names(topics, name):
    await topics.create(name, 2)
    for partition in (0, 1):
        await append(topics, name, [b"%d" % i for i in range(10)], partition=partition)
    async with Reader(topics.consumer(name), {0: 3, 1: 9}) as reader:
        messages = await reader.until(8)
        assert [(m.partition, m.offset, m.value) for m in messages] == [
            *((0, i, b"%d" % i) for i in range(3, 10)),
            (1, 9, b"9"),
        ]


@pytest.mark.kafka_apache
async def test_bounds_name_the_first_and_the_next_offset(topics, name):
    await topics.create(name, 2)
    await append(topics, name, [b"x"] * 5, partition=1)
    async with Reader(topics.consumer(name)) as reader:
        assert await reader.consumer.bounds([0, 1]) == {0: Bounds(0, 0), 1: Bounds(0, 5)}


async def test_a_key_always_goes_to_the_same_partition_and_no_key_to_all(topics, name):
    await topics.create(name, 4)
    producer = topics.producer(name)
    await producer.start()
    try:
        by_key = [await producer.append([b"x", b"y"], key=b"agent-7") for _ in range(3)]
        assert len({partition for placed in by_key for partition, _ in placed}) == 1
        unkeyed = [await producer.append([b"x", b"y"]) for _ in range(4)]
        assert {placed[0][0] for placed in unkeyed} == {0, 1, 2, 3}
        assert all(placed[0][0] == placed[1][0] for placed in unkeyed)
        assert await producer.append([]) == []
    finally:
        await producer.stop()


async def test_a_waiting_consumer_gets_what_is_appended_meanwhile(topics, name):
    await topics.create(name)
    async with Reader(topics.consumer(name)) as reader:
        await reader.until_assigned({0})
        producer = topics.producer(name)
        await producer.start()
        for i in range(5):
            await producer.append([b"%d" % i], partition=0)
            await reader.until(i + 1)
        await producer.stop()
        assert [m.value for m in reader.got[0]] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_paused_partition_delivers_nothing_and_goes_on_where_it_was(topics, name):
    await topics.create(name, 2)
    for partition in (0, 1):
        await append(topics, name, [b"%d" % i for i in range(50)], partition=partition)
    async with Reader(topics.consumer(name)) as reader:
        await reader.until_assigned({0, 1})
        await reader.poll(5.0, max_messages=10)
        reader.consumer.pause([0])
        before = len(reader.got.get(0, []))
        for _ in range(200):
            await reader.poll()
            if len(reader.got.get(1, [])) == 50:
                break
        assert len(reader.got[1]) == 50
        assert len(reader.got.get(0, [])) == before
        reader.consumer.resume([0])
        await reader.until(100)
        assert [m.offset for m in reader.got[0]] == list(range(50))


async def test_seek_goes_on_at_the_offset_named(topics, name):
    await topics.create(name)
    await append(topics, name, [b"%d" % i for i in range(10)], partition=0)
    async with Reader(topics.consumer(name)) as reader:
        await reader.until(10)
        reader.consumer.seek(0, 4)
        messages = await reader.until(16)
        assert [m.offset for m in messages] == [*range(10), *range(4, 10)]


@pytest.mark.kafka_apache
@pytest.mark.parametrize("offset", [11, 10_000])
async def test_an_offset_beyond_the_end_is_an_error_and_other_partitions_go_on(topics, name, offset):
    await topics.create(name, 2)
    for partition in (0, 1):
        await append(topics, name, [b"x"] * 10, partition=partition)
    async with Reader(topics.consumer(name), {0: offset}) as reader:
        caught = None
        for _ in range(100):
            try:
                await reader.poll()
            except OffsetOutOfRange as error:
                caught = error
                reader.consumer.pause([0])
            if caught and len(reader.got.get(1, [])) == 10:
                break
        assert caught is not None and (caught.partition, caught.offset) == (0, offset)
        assert len(reader.got[1]) == 10
        assert 0 not in reader.got


async def test_the_end_itself_is_a_good_offset(topics, name):
    await topics.create(name)
    await append(topics, name, [b"x"] * 10, partition=0)
    async with Reader(topics.consumer(name), {0: 10}) as reader:
        await reader.until_assigned({0})
        assert await reader.poll(0.3) == {}
        await append(topics, name, [b"next"], partition=0)
        assert [m.offset for m in await reader.until(1)] == [10]


async def test_commit_never_decides_where_reading_goes_on(topics, name):
    await topics.create(name)
    await append(topics, name, [b"%d" % i for i in range(10)], partition=0)
    async with Reader(topics.consumer(name)) as reader:
        await reader.until(10)
        await reader.consumer.commit({0: 8})
    async with Reader(topics.consumer(name), {0: 5}) as reader:
        assert [m.offset for m in await reader.until(5)] == [5, 6, 7, 8, 9]
    async with Reader(topics.consumer(name), {0: 9}) as reader:
        assert [m.offset for m in await reader.until(1)] == [9]


async def test_offsets_go_on_and_the_topic_id_stays_after_a_restart(topics, name):
    await topics.create(name)
    ids = set()
    for round_number in range(3):
        placed = await append(topics, name, [b"x"] * 4, partition=0)
        assert placed == [(0, round_number * 4 + i) for i in range(4)]
        async with Reader(topics.consumer(name)) as reader:
            ids.add(reader.consumer.topic_id)
            assert [m.offset for m in await reader.until(4 * (round_number + 1))] == list(
                range(4 * (round_number + 1))
            )
    (topic_id,) = ids
    stem, _, digits = topic_id.rpartition(".")
    assert stem == name
    assert len(bytes.fromhex(digits)) == 16


async def test_a_topic_made_anew_has_another_id(topics, name):
    await topics.create(name)
    await append(topics, name, [b"x"], partition=0)
    async with Reader(topics.consumer(name)) as reader:
        first = reader.consumer.topic_id
    await topics.recreate(name)
    async with Reader(topics.consumer(name)) as reader:
        assert reader.consumer.topic_id != first
        assert (await reader.consumer.bounds([0]))[0] == Bounds(0, 0)


async def test_a_message_of_5_mb_passes(topics, name):
    await topics.create(name)
    large = bytes(range(256)) * 20_000
    await append(topics, name, [b"before", large, b"after"], partition=0)
    async with Reader(topics.consumer(name)) as reader:
        assert [m.value for m in await reader.until(3)] == [b"before", large, b"after"]


async def test_a_message_too_large_is_refused_by_name(topics, name):
    await topics.create(name)
    with pytest.raises(TopicError, match="max_"):
        await append(topics, name, [bytes(40_000_000)], partition=0)


async def test_a_tombstone_and_an_empty_message_are_told_apart(topics, name):
    await topics.create(name)
    await append(topics, name, [None, b""], partition=0, key=b"k")
    async with Reader(topics.consumer(name)) as reader:
        assert [m.value for m in await reader.until(2)] == [None, b""]


async def test_what_the_listener_raises_comes_out_of_poll(topics, name):
    await topics.create(name)

    def broken(_):
        raise RuntimeError("no offsets known")

    reader = Reader(topics.consumer(name))
    reader.on_assigned = broken
    with pytest.raises(RuntimeError, match="no offsets known"):
        async with reader:
            for _ in range(100):
                await reader.poll()


async def test_stop_gives_the_partitions_back(topics, name):
    await topics.create(name, 2)
    async with Reader(topics.consumer(name)) as reader:
        await reader.until_assigned({0, 1})
    assert reader.revoked == [[0, 1]]


async def test_two_members_share_the_partitions_and_nothing_is_missed(kafka, name):
    topics = KafkaTopics(kafka)
    await topics.create(name, 4)
    for partition in range(4):
        await append(topics, name, [b"%d" % i for i in range(50)], partition=partition)
    async with Reader(topics.consumer(name)) as first:
        await first.until(200)
        await first.until_assigned({0, 1, 2, 3})
        first.consumer.pause([0, 1, 2, 3])
        second = Reader(topics.consumer(name), first.offsets)
        async with second:
            for _ in range(200):
                await first.poll()
                await second.poll()
                if len(first.owned) == len(second.owned) == 2:
                    break
            assert first.owned | second.owned == {0, 1, 2, 3}
            assert first.owned & second.owned == set()
            assert first.revoked == [[0, 1, 2, 3]]
            for partition in range(4):
                await append(topics, name, [b"new"], partition=partition)
            await second.until(2)
            for _ in range(5):
                await first.poll()
            assert [m.offset for p in second.owned for m in second.got[p]] == [50, 50]
            assert all(m.offset < 50 for p in first.owned for m in first.got[p]), "pause outlives a rebalance"
        await first.until_assigned({0, 1, 2, 3})
        first.consumer.resume([0, 1, 2, 3])
        for _ in range(100):
            await first.poll()
            if all(first.got[p][-1].offset == 50 for p in first.owned):
                break
        assert all([m.offset for m in first.got[p]] == list(range(51)) for p in range(4))
