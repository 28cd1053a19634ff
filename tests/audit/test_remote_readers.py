"""Reading a store on S3: what is fetched and kept, and what DuckDB reads in place."""

from pathlib import Path
from typing import ClassVar

import pytest
from support.audit import START_MS, TOPIC_ID, claim, sealed_store
from support.remote import copies, count, live
from support.s3 import FakeS3

from pipeline.audit.log import PartitionLog
from pipeline.audit.objects import httpfs
from pipeline.audit.objects.local import LocalObjects
from pipeline.audit.objects.s3_config import S3Config
from pipeline.audit.store import Store
from pipeline.audit.verify import verify_store
from pipeline.errors import StoreError


def test_a_reader_of_another_machine_needs_only_the_url(s3: FakeS3, tmp_path: Path) -> None:
    url = s3.url()
    sealed_store(tmp_path, at=s3.store(tmp_path / "writer", url))
    reader = s3.store(tmp_path / "reader", url)
    assert count(reader) == 29
    assert not (tmp_path / "writer").exists()


def test_segments_are_fetched_once(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path))
    count(store)
    s3.requests.clear()
    assert count(store) == 29
    assert not [path for _, path in s3.requests if path.endswith(".parquet")]
    copies(store)[0].unlink()
    claim(store)
    assert count(store) == 29
    assert len([path for method, path in s3.requests if path.endswith(".parquet")]) == 1


def test_a_cache_too_small_says_so_and_fetches_nothing(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path))
    store.cache_max_bytes = 10_000
    with pytest.raises(StoreError, match="cache_max_bytes"):
        count(store)
    assert copies(store) == []


def test_a_long_log_is_read_many_entries_at_once(s3: FakeS3, tmp_path: Path) -> None:
    url = s3.url()
    writer = claim(s3.store(tmp_path / "writer", url))
    for end in range(1, 100):
        writer.idle(end, START_MS)
    s3.requests.clear()
    s3.most_at_once = 0
    log = PartitionLog.open(s3.store(tmp_path / "reader", url), TOPIC_ID, 0)
    assert (log.state.next_n, log.state.end) == (100, 99)
    assert s3.most_at_once > 4
    asked = len(s3.requests)
    assert asked < 140
    log.refresh()
    assert len(s3.requests) == asked + 1


def test_no_store_is_told_from_an_empty_one(s3: FakeS3, tmp_path: Path) -> None:
    store = s3.store(tmp_path)
    for look in (lambda: verify_store(store), lambda: count(store)):
        with pytest.raises(StoreError, match=f"there is no store at {store.name}"):
            look()


class ReadInPlace(LocalObjects):
    """Storage that is no directory for the store, but that DuckDB reads by itself: as with httpfs."""

    def duckdb_setup(self) -> list[str]:
        return self.setup

    setup: ClassVar[list[str]] = []


def test_what_duckdb_reads_in_place_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = ReadInPlace(tmp_path / "far")
    store = sealed_store(tmp_path, at=Store(tmp_path / "cache", objects))
    monkeypatch.setattr(ReadInPlace, "setup", ["SET VARIABLE reached = 1"])
    assert count(store) == 29
    assert copies(store) == []


def test_what_duckdb_fails_to_read_in_place_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = sealed_store(tmp_path, at=Store(tmp_path / "cache", ReadInPlace(tmp_path / "far")))
    monkeypatch.setattr(ReadInPlace, "setup", ["LOAD no_such_extension /* secret */"])
    assert count(store) == 29
    assert {path.name for path in copies(store)} == live(store)
    assert "segments are copied first" in caplog.text
    assert "secret" not in caplog.text


def test_httpfs_is_used_only_where_it_is_installed_and_gets_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key'id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sec ret")
    config = S3Config(endpoint="http://127.0.0.1:9000", region="eu-central-1")
    monkeypatch.setattr(httpfs, "_is_installed", lambda: False)
    assert httpfs.httpfs_setup("s3://bucket/prefix", config) is None
    monkeypatch.setattr(httpfs, "_is_installed", lambda: True)
    setup = httpfs.httpfs_setup("s3://bucket/prefix", config)
    assert setup is not None
    assert setup[0] == "LOAD httpfs"
    assert not any("INSTALL" in statement for statement in setup)
    expected = (
        "TYPE s3, KEY_ID 'key''id', SECRET 'sec ret', REGION 'eu-central-1', SCOPE 's3://bucket/prefix', "
        "URL_STYLE 'path', ENDPOINT '127.0.0.1:9000', USE_SSL 'false'"
    )
    assert expected in setup[1]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert httpfs.httpfs_setup("s3://bucket/prefix", config) is None
