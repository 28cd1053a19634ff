"""The contract of storage: one suite against a directory and against an S3 s3."""

import io
import os
import pickle
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.s3 import FAILURES, LOCKED_BUCKET, SECRET_KEY, TIMEOUT_S, Failure, FakeS3

from pipeline.audit.objects.base import Objects
from pipeline.audit.objects.local import LocalObjects
from pipeline.audit.objects.ranged import READ_AHEAD_BYTES, open_ranged
from pipeline.errors import ConfigError

THREADS = 8


@pytest.fixture(params=["local", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "local":
        return LocalObjects(tmp_path / "store")
    fake: FakeS3 = request.getfixturevalue("s3")
    return fake.objects()


def test_create_never_overwrites_and_tells_equal_from_other(objects: Objects) -> None:
    assert objects.create("a/b", b"one")
    assert objects.create("a/b", b"one")
    assert not objects.create("a/b", b"two")
    assert not objects.create("a/b", b"six")
    assert objects.read("a/b") == b"one"


def test_of_many_who_create_at_once_one_wins(objects: Objects) -> None:
    ready = threading.Barrier(THREADS)

    def create(number: int) -> bool:
        ready.wait()
        return objects.create("log/0", f"by {number}".encode())

    with ThreadPoolExecutor(THREADS) as pool:
        won = list(pool.map(create, range(THREADS)))
    assert won.count(True) == 1
    assert objects.read("log/0") == f"by {won.index(True)}".encode()


def test_all_who_create_the_same_bytes_at_once_succeed(objects: Objects) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(lambda _: objects.create("log/0", b"the same"), range(THREADS)))


def test_what_is_not_there_is_told_as_such(objects: Objects) -> None:
    for missing in (objects.read, objects.open):
        with pytest.raises(FileNotFoundError):
            missing("a/b")
    objects.delete("a/b")
    assert objects.names("a") == []
    assert not objects.exists()


def test_what_was_deleted_is_gone_and_may_be_created_again(objects: Objects) -> None:
    objects.create("a/b", b"one")
    objects.delete("a/b")
    objects.delete("a/b")
    assert objects.names("a") == []
    with pytest.raises(FileNotFoundError):
        objects.read("a/b")
    assert objects.create("a/b", b"two")


def test_names_are_those_directly_below_and_sorted(objects: Objects) -> None:
    for key in ("log/t.2/0/000.json", "log/t.1/10/000.json", "log/t.1/2/000.json", "log/t.1/2/001.json"):
        objects.create(key, key.encode())
    assert objects.names("log") == ["t.1", "t.2"]
    assert objects.names("log/t.1") == ["10", "2"]
    assert objects.names("log/t.1/2") == ["000.json", "001.json"]
    assert "log" in objects.names("")
    assert objects.names("lo") == []
    assert objects.exists()


def test_empty_content_is_content(objects: Objects) -> None:
    assert objects.create("a", b"")
    assert not objects.create("a", b"x")
    with objects.open("a") as file:
        assert file.read() == b""


def test_an_open_object_is_a_file_to_seek_in(objects: Objects) -> None:
    content = random.Random(1).randbytes(3 * READ_AHEAD_BYTES + 17)
    objects.create("a", content)
    with objects.open("a") as file:
        assert file.seek(-8, io.SEEK_END) == len(content) - 8
        assert file.read() == content[-8:]
        assert file.seek(READ_AHEAD_BYTES - 3) == READ_AHEAD_BYTES - 3
        assert file.read(9) == content[READ_AHEAD_BYTES - 3 : READ_AHEAD_BYTES + 6]
        file.seek(4, io.SEEK_CUR)
        assert file.read(5) == content[READ_AHEAD_BYTES + 10 : READ_AHEAD_BYTES + 15]
        file.seek(len(content) + 5)
        assert file.read(1) == b""
        file.seek(0)
        assert file.read() == content


def test_another_process_opens_it_again(objects: Objects) -> None:
    objects.create("a", b"one")
    pickled = pickle.dumps(objects)
    assert SECRET_KEY.encode() not in pickled
    again: Objects = pickle.loads(pickled)
    assert again.read("a") == b"one"
    assert again.name == objects.name


def test_a_directory_of_files_says_where_they_are(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.create("a/b", b"one")
    assert Path(objects.location("a/b")).read_bytes() == b"one"
    assert objects.kept("a/b") is None


# What only a service across a network does.


def test_more_names_than_one_answer_holds(s3: FakeS3) -> None:
    url = s3.url()
    names = [f"{n:012d}.json" for n in range(2010)]
    s3.put_many(url, [f"log/{name}" for name in names])
    assert s3.objects(url).names("log") == names


def nth_write(number: int, failure: Failure) -> Callable[[str, str], Failure | None]:
    """The write of that number fails, and every try of it again up to as often as a client tries."""
    seen = 0

    def fails(method: str, path: str) -> Failure | None:
        nonlocal seen
        if method != "PUT":
            return None
        seen += 1
        return failure if seen == number else None

    return fails


@pytest.mark.parametrize("failure", FAILURES)
def test_a_creation_that_failed_is_tried_again_until_it_is_known(s3: FakeS3, failure: Failure) -> None:
    objects = s3.objects(max_retries=0, timeout_s=TIMEOUT_S)
    with s3.failing(nth_write(1, failure)), pytest.raises(OSError):
        objects.create("log/0", b"one")
    persisted = failure in ("cut after", "error after", "hangs")
    assert (objects.names("log") == ["0"]) == persisted
    assert objects.create("log/0", b"one")
    assert not objects.create("log/0", b"two")


@pytest.mark.parametrize("failure", ["refused", "slow down", "error after"])
def test_the_client_tries_again_by_itself_where_the_service_says_so(s3: FakeS3, failure: Failure) -> None:
    objects = s3.objects(max_retries=2)
    with s3.failing(nth_write(1, failure)):
        assert objects.create("log/0", b"one")


def test_ranges_of_an_object_that_was_overwritten_meanwhile_are_never_mixed(s3: FakeS3) -> None:
    objects = s3.objects(url := s3.url())
    objects.create("a", b"1" * (2 * READ_AHEAD_BYTES))
    with objects.open("a") as file:
        file.read(1)
        with s3.client() as client:
            key = url.removeprefix("s3://trail/") + "/a"
            client.put_object(Bucket="trail", Key=key, Body=b"2" * (2 * READ_AHEAD_BYTES))
        file.seek(READ_AHEAD_BYTES)
        with pytest.raises(OSError, match="overwritten while it was read"):
            file.read(10)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda objects: objects.create("a", b""), "the bucket does not exist"),
        (lambda objects: objects.read("a"), "the bucket does not exist"),
        (lambda objects: objects.names("a"), "the bucket does not exist"),
        (lambda objects: objects.exists(), "the bucket does not exist"),
    ],
)
def test_a_bucket_that_is_not_there_is_no_empty_store(
    s3: FakeS3, call: Callable[[Any], object], told: str
) -> None:
    with pytest.raises(OSError, match=told) as raised:
        call(s3.objects("s3://no-such-bucket/store"))
    assert not isinstance(raised.value, FileNotFoundError)


def test_an_error_repeats_nothing_of_what_the_service_answered(s3: FakeS3) -> None:
    objects = s3.objects(max_retries=0)
    with s3.failing(lambda method, path: "refused"), pytest.raises(OSError) as raised:
        objects.read("log/0")
    assert SECRET_KEY not in repr(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.filename == objects.location("log/0")


def test_nobody_answers(s3: FakeS3) -> None:
    objects = s3.objects(endpoint="http://127.0.0.1:9", max_retries=0, timeout_s=TIMEOUT_S)
    with pytest.raises(OSError, match="could not do it"):
        objects.read("log/0")


def test_without_credentials_it_is_said_so(s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        s3.objects()


def test_what_an_object_lock_keeps_is_told_before_it_is_deleted(s3: FakeS3) -> None:
    locked = s3.objects(s3.url(bucket=LOCKED_BUCKET), lock_days=30)
    assert locked.create("a", b"one")
    assert not locked.create("a", b"two")
    kept = locked.kept("a")
    assert kept is not None
    assert kept.what == "object lock"
    assert kept.until_ms is not None
    with s3.client() as client:
        key = locked.location("a").removeprefix(f"s3://{LOCKED_BUCKET}/")
        until = client.head_object(Bucket=LOCKED_BUCKET, Key=key)["ObjectLockRetainUntilDate"]
    assert abs(until.timestamp() * 1000 - kept.until_ms) < 5_000
    locked.delete("a")
    with pytest.raises(FileNotFoundError):
        locked.read("a")
    with s3.client() as client:
        versions = client.list_object_versions(Bucket=LOCKED_BUCKET, Prefix=key)["Versions"]
    assert len(versions) == 1  # the one and only, hidden


def test_a_bucket_that_keeps_versions_is_seen_without_being_told(s3: FakeS3) -> None:
    unsaid = s3.objects(s3.url(bucket=LOCKED_BUCKET))
    unsaid.create("a", b"one")
    kept = unsaid.kept("a")
    assert kept is not None
    assert (kept.what, kept.until_ms) == ("old versions in the bucket", None)
    plain = s3.objects()
    plain.create("a", b"one")
    assert plain.kept("a") is None


def test_small_reads_share_a_fetch() -> None:
    content = os.urandom(3 * READ_AHEAD_BYTES)
    fetched: list[tuple[int, int]] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append((start, end))
        return content[start:end]

    with open_ranged(len(content), fetch) as file:
        assert b"".join(file.read(1000) for _ in range(100)) == content[:100_000]
        assert len(fetched) == 1
        file.seek(5)
        assert file.read(2 * READ_AHEAD_BYTES) == content[5 : 5 + 2 * READ_AHEAD_BYTES]
    assert max(end - start for start, end in fetched) <= 2 * READ_AHEAD_BYTES
