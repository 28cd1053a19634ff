"""Local topics over restarts, torn writes, lost files, full disks and kills."""

import asyncio
import errno
import os
import shutil
import sys
from pathlib import Path

import pytest
from support.broker import Reader
from support.local import LocalTopics
from support.local_topics import append, read_all

from pipeline.errors import TopicError
from pipeline.topics import frames


@pytest.fixture
def topics(tmp_path: Path) -> LocalTopics:
    return LocalTopics(tmp_path)


async def test_a_restart_begins_a_new_file_and_an_idle_one_does_not(topics):
    for _ in range(3):
        await append(topics, "raw", [b"x"])
    assert len(topics.files("raw")) == 1 + 3
    for _ in range(3):
        await append(topics, "raw")
    assert len(topics.files("raw")) == 1 + 3


async def test_a_write_cut_anywhere_loses_only_what_was_not_acknowledged(topics):
    await append(topics, "raw", [b"one", b"two"])
    before = topics.files("raw")[-1].read_bytes()
    shutil.rmtree(topics.directory / "raw")
    await append(topics, "raw", [b"one", b"two"], [b"three", b"four"])
    path = topics.files("raw")[-1]
    whole = path.read_bytes()
    kept = shutil.copytree(topics.directory / "raw", topics.directory / "kept")
    for length in range(len(before), len(whole)):
        shutil.rmtree(topics.directory / "raw")
        shutil.copytree(kept, topics.directory / "raw")
        path.write_bytes(whole[:length])
        assert await read_all(topics, "raw") == [b"one", b"two"], length
        ((placed,),) = await append(topics, "raw", [b"after"])
        assert placed == (0, 2)
        # The torn file is no longer the newest: its end is known from the next one's start.
        assert await read_all(topics, "raw") == [b"one", b"two", b"after"], length


async def test_zeros_that_a_power_cut_left_are_a_torn_write(topics):
    await append(topics, "raw", [b"one"], [b"two"])
    path = topics.files("raw")[-1]
    whole = path.read_bytes()
    frame = (len(whole) - frames.HEADER_BYTES) // 2
    for kept in (0, frames.FRAME_HEAD_BYTES, frame - frames.TAG_BYTES):
        path.write_bytes(whole[: frames.HEADER_BYTES + frame + kept] + bytes(frame - kept))
        assert await read_all(topics, "raw") == [b"one"]


async def test_a_cut_in_a_file_that_is_not_the_newest_is_found(topics):
    await append(topics, "raw", [b"one"], [b"two"])
    await append(topics, "raw", [b"three"])
    path = topics.files("raw")[-2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TopicError, match=path.name):
        await read_all(topics, "raw")


async def test_a_lost_file_in_the_middle_is_found(topics):
    for value in (b"one", b"two", b"three"):
        await append(topics, "raw", [value])
    topics.files("raw")[-2].unlink()
    with pytest.raises(TopicError, match="lacks messages from offset 1"):
        await read_all(topics, "raw")


async def test_a_lost_partition_never_begins_anew_under_the_old_topic_id(topics):
    await append(topics, "raw", [b"one"])
    shutil.rmtree(topics.directory / "raw" / "0")
    with pytest.raises(TopicError, match="lost its files"):
        await append(topics, "raw", [b"two"])


async def test_a_lost_directory_is_a_new_topic_id(topics):
    await append(topics, "raw", [b"one"])
    async with Reader(topics.consumer("raw")) as reader:
        before = reader.consumer.topic_id
    shutil.rmtree(topics.directory / "raw")
    async with Reader(topics.consumer("raw")) as reader:
        assert reader.consumer.topic_id != before


async def test_appends_at_the_same_time_share_their_fsyncs(topics, monkeypatch):
    producer = topics.producer("raw")
    await producer.start()
    await producer.append([b"first"], partition=0)
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    placed = await asyncio.gather(*(producer.append([b"%d" % i], partition=0) for i in range(100)))
    assert len(synced) <= 2
    assert sorted(p for ((_, p),) in placed) == list(range(1, 101))
    await producer.stop()


async def test_an_append_returns_only_after_the_fsync(topics, monkeypatch):
    producer = topics.producer("raw")
    await producer.start()
    await producer.append([b"first"], partition=0)
    gate, real, loop = asyncio.Event(), os.fsync, asyncio.get_running_loop()

    def slow(descriptor):
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    appending = asyncio.create_task(producer.append([b"second"], partition=0))
    async with Reader(topics.consumer("raw")) as reader:
        await reader.until(1)
        assert await reader.poll(0.05) == {}, "what is not acknowledged is not delivered"
        assert not appending.done()
        gate.set()
        await appending
        assert len(await reader.until(2)) == 2
    await producer.stop()


@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_a_full_disk_refuses_the_append_and_loses_nothing(topics, monkeypatch, call):
    producer = topics.producer("raw")
    await producer.start()
    await producer.append([b"one"], partition=0)
    real, failures = getattr(os, call), iter([True])

    def failing(descriptor, *arguments):
        if next(failures, False):
            if call == "write":
                real(descriptor, arguments[0][:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, *arguments)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(TopicError, match="No space left"):
        await producer.append([b"lost"], partition=0)
    assert await producer.append([b"two"], partition=0) == [(0, 1)]
    await producer.stop()
    assert await read_all(topics, "raw") == [b"one", b"two"]


_WRITER = """
import asyncio, sys
from pathlib import Path
from pipeline.keys import Keys
from pipeline.topics.local import LocalProducer, LocalTopicsConfig
async def main(directory):
    config = LocalTopicsConfig(path=directory / "topics", partitions=1)
    producer = LocalProducer(config, "raw", Keys(directory / "keys"))
    await producer.start()
    while True:
        ((_, offset),) = await producer.append([b"x" * 3000], partition=0)
        print(offset, flush=True)
asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_killed_producer_has_lost_nothing_that_it_acknowledged(tmp_path):
    topics = LocalTopics(tmp_path)
    acknowledged = -1
    for _ in range(2):
        command = [sys.executable, "-c", _WRITER, str(tmp_path)]
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(20):
            offset = int(await child.stdout.readline())
            assert offset > acknowledged
            acknowledged = offset
        child.kill()
        rest = (await child.stdout.read()).splitlines()
        await child.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        assert len(await read_all(topics, "raw")) > acknowledged
