"""What only the local topic promises: encryption, deletion, times, one producer."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.broker import Reader
from support.local import LocalTopics
from support.local_topics import append, read, read_all

from pipeline.errors import TopicError
from pipeline.topics import frames
from pipeline.topics.base import Bounds, Message, OffsetOutOfRange
from pipeline.topics.frames import Corrupt, FileHeader, FrameCipher

SECRET = b"maria.rossi@example.org paid with 4111111111111111"


@pytest.fixture
def topics(tmp_path: Path) -> LocalTopics:
    return LocalTopics(tmp_path)


async def test_nothing_readable_reaches_the_disk(topics):
    await append(topics, "raw", [SECRET] * 50, key=b"agent-with-a-name")
    content = b"".join(p.read_bytes() for p in topics.directory.rglob("*") if p.is_file())
    assert len(content) > 50 * len(SECRET)
    for word in (SECRET, b"maria", b"4111", b"agent-with-a-name"):
        assert word not in content
    assert [m.value for m in await read(topics, "raw", 50)] == [SECRET] * 50


async def test_files_are_private_to_the_user(topics):
    await append(topics, "raw", [b"x"])
    for path in topics.directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_equal_messages_are_never_equal_on_disk(topics):
    await append(topics, "raw", [SECRET])
    await append(topics, "raw", [SECRET])
    bodies = [
        p.read_bytes()[frames.HEADER_BYTES + frames.FRAME_HEAD_BYTES :] for p in topics.files("raw")[1:]
    ]
    assert len(bodies) == 2 and bodies[0] != bodies[1]


@pytest.mark.parametrize("place", ["head", "body", "tag"])
async def test_a_changed_byte_is_found_and_the_file_named(topics, place):
    await append(topics, "raw", [b"one"], [b"two"], [b"three"])
    path = topics.files("raw")[-1]
    content = bytearray(path.read_bytes())
    frame = (len(content) - frames.HEADER_BYTES - 2) // 3
    second = frames.HEADER_BYTES + frame
    at = {"head": second + 1, "body": second + frames.FRAME_HEAD_BYTES + 2, "tag": len(content) - 1}[place]
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(TopicError, match=path.name):
        await read(topics, "raw", 3)
    with pytest.raises(TopicError, match=path.name):
        await append(topics, "raw", [b"four"])


async def test_every_changed_byte_of_a_file_is_found(topics):
    await append(topics, "raw", [b"one", b"two"], [b"three"])
    path = topics.files("raw")[-1]
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(TopicError, match=path.name):
            await read_all(topics, "raw")


async def test_a_file_of_another_partition_or_topic_is_not_accepted(tmp_path):
    topics = LocalTopics(tmp_path)
    await append(topics, "one", [b"x"])
    await append(topics, "two", [b"y"])
    shutil.copy(topics.files("one")[-1], topics.files("two")[-1])
    with pytest.raises(TopicError, match=str(topics.files("two")[-1])):
        await read_all(topics, "two")


async def test_commit_deletes_what_is_sealed_but_never_the_newest_file(tmp_path):
    topics = LocalTopics(tmp_path, max_file_bytes=4096)
    for i in range(6):
        await append(topics, "raw", [b"%d" % i * 5000])
    async with Reader(topics.consumer("raw")) as reader:
        assert len(topics.files("raw")) == 7
        await reader.consumer.commit({0: 3})
        assert (await reader.consumer.bounds([0]))[0] == Bounds(3, 6)
        await reader.consumer.commit({0: 6})
        assert len(topics.files("raw")) == 1
        assert (await reader.consumer.bounds([0]))[0] == Bounds(5, 6)
    ((placed,),) = await append(topics, "raw", [b"next"])
    assert placed == (0, 6)
    with pytest.raises(OffsetOutOfRange):
        await read(topics, "raw", 1, offset=4)


async def test_deletion_leaves_a_reader_of_the_file_alone(tmp_path):
    topics = LocalTopics(tmp_path, max_file_bytes=4096)
    await append(topics, "raw", *([b"%d" % i * 5000] for i in range(5)))
    async with Reader(topics.consumer("raw")) as reader:
        await reader.poll(max_messages=1)
        await reader.consumer.commit({0: 1})
        assert len(await reader.until(5)) == 5


async def test_files_roll_at_their_size(tmp_path):
    topics = LocalTopics(tmp_path, max_file_bytes=4096)
    await append(topics, "raw", *([bytes(1000)] for _ in range(20)))
    assert len(topics.files("raw")) == 1 + 5
    assert len(await read_all(topics, "raw")) == 20


async def test_times_never_go_back_even_over_a_restart(topics):
    await append(topics, "raw", [b"a"], now_ms=lambda: 5_000)
    await append(topics, "raw", [b"b"], [b"c"], now_ms=lambda: 3_000)
    await append(topics, "raw", [b"d"], now_ms=lambda: 6_000)
    assert [m.time_ms for m in await read(topics, "raw", 4)] == [5_000, 5_000, 5_000, 6_000]


async def test_files_that_an_operator_loads_keep_their_own_times(topics):
    await append(topics, "raw", [b"a", b"b"], now_ms=lambda: 9_000, times_ms=[900, -7])
    await append(topics, "raw", [b"c"], now_ms=lambda: 5_000)
    messages = await read(topics, "raw", 3)
    assert [(m.time_ms, m.time_kind) for m in messages] == [(900, "event"), (-7, "event"), (5_000, "append")]


async def test_a_second_producer_is_refused_and_told_why(topics):
    first = topics.producer("raw")
    await first.start()
    with pytest.raises(TopicError, match="another process"):
        await topics.producer("raw").start()
    await first.stop()
    second = topics.producer("raw")
    await second.start()
    await second.stop()


async def test_a_cancelled_poll_loses_nothing(topics):
    await append(topics, "raw", [b"%d" % i for i in range(200)])
    async with Reader(topics.consumer("raw")) as reader:
        for _ in range(30):
            poll = asyncio.create_task(reader.poll(max_messages=3))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)
        messages = await reader.until(200)
        assert [m.offset for m in messages] == list(range(200))


_messages = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=50),
        st.none() | st.binary(max_size=300),
        st.integers(-(2**62), 2**62),
        st.sampled_from(["append", "create", "event"]),
    ),
    min_size=1,
    max_size=20,
)


@given(_messages, st.integers(0, 2**31), st.integers(0, 2**60), st.integers(0, 2**40))
@settings(max_examples=50, deadline=None)
def test_a_frame_gives_back_its_messages_in_its_place_alone(rows, partition, offset, number):
    messages = [Message(partition, offset + i, at, kind, key, v) for i, (key, v, at, kind) in enumerate(rows)]
    header = FileHeader(bytes(16), offset, 0)
    cipher = FrameCipher(bytes(32), header, "t.00", partition)
    frame = cipher.seal(number, messages)
    head = cipher.head(number, frame[: frames.FRAME_HEAD_BYTES])
    body = frame[frames.FRAME_HEAD_BYTES :]
    assert (head.length, head.message_count, head.offset) == (len(body), len(messages), offset)
    assert cipher.open(number, head, body) == messages
    moved = [
        (FrameCipher(bytes(32), header, "t.01", partition), number, head),
        (FrameCipher(bytes(32), header, "t.00", partition + 1), number, head),
        (FrameCipher(bytes(32), FileHeader(bytes(16), offset, 1), "t.00", partition), number, head),
        (FrameCipher(bytes(31) + b"1", header, "t.00", partition), number, head),
        (cipher, number + 1, head),
        (cipher, number, head._replace(offset=offset + 1)),
    ]
    for other, at, claimed in moved:
        with pytest.raises(Corrupt):
            other.open(at, claimed, body)


@given(
    appends=st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), min_size=1, max_size=8),
    restarts=st.sets(st.integers(0, 7)),
    start=st.integers(0, 40),
    step=st.integers(1, 9),
)
@settings(max_examples=20, deadline=None)
def test_any_appends_and_restarts_are_read_back_from_any_offset(appends, restarts, start, step):
    async def scenario(directory: Path):
        topics = LocalTopics(directory, max_file_bytes=4096, max_frame_bytes=1024)
        producer = topics.producer("raw")
        await producer.start()
        placed = []
        for number, values in enumerate(appends):
            placed += await producer.append(values, partition=0)
            if number in restarts:
                await producer.stop()
                producer = topics.producer("raw")
                await producer.start()
        await producer.stop()
        expected = [value for values in appends for value in values]
        assert placed == [(0, i) for i in range(len(expected))]
        offset = min(start, len(expected))
        async with Reader(topics.consumer("raw"), {0: offset}) as reader:
            while len(reader.got.get(0, [])) < len(expected) - offset:
                await reader.poll(max_messages=step)
            assert [m.value for m in reader.got.get(0, [])] == expected[offset:]

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(scenario(Path(directory)))
