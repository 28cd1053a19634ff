"""The audit store on S3: what holds in a directory holds there, and what the network does loses nothing."""

import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.audit import START_MS, TOPIC_ID, claim, command_row, counting_clock, event_rows, sealed_store
from support.erase import request, settings_in
from support.running import auditfuse, write_config
from support.s3 import FAILURES, LOCKED_BUCKET, TIMEOUT_S, Failure, FakeS3
from typer.testing import CliRunner

from pipeline.audit.catalog import GRACE_S, Catalog
from pipeline.audit.compact import Compactor, compact_store
from pipeline.audit.control import AppendLog, read_rows
from pipeline.audit.erase.reach import Copies
from pipeline.audit.erase.run import Eraser
from pipeline.audit.log import PartitionLog
from pipeline.audit.objects import httpfs
from pipeline.audit.objects.local import LocalObjects
from pipeline.audit.objects.s3_config import S3Config
from pipeline.audit.query import open_catalog
from pipeline.audit.store import CONTROL, Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.commands.config import app as config_app
from pipeline.config import load_config
from pipeline.errors import ConfigError, Fenced, StoreError
from pipeline.keys import Keys


def count(store: Store, query: str = "SELECT count(*) FROM events") -> int:
    with open_catalog(store) as catalog:
        return next(result.fetchall()[0][0] for result in catalog.run(query))


def copies(store: Store) -> list[Path]:
    return sorted((store.cache_dir / "segments").glob("*/*/*.parquet"))


def live(store: Store) -> set[str]:
    return {name for one in store.partitions() for name in PartitionLog.open(store, *one).state.live}


def test_sealed_rows_verify_and_a_fenced_writer_publishes_nothing(s3: FakeS3, tmp_path: Path) -> None:
    store = s3.store(tmp_path)
    first = claim(store)
    first.seal(event_rows(0, 10), 10)
    second = claim(store)
    with pytest.raises(Fenced):
        first.seal(event_rows(10, 10), 20)
    second.seal(event_rows(10, 5), 15)
    report = verify_store(store, workers=1)
    assert report.holds, report.faults
    assert (report.rows, report.store) == (15, store.name)


def test_processes_verify_what_one_cannot_hold(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path))
    report = verify_store(store, workers=2)
    assert report.holds, report.faults
    assert report.rows == 3 * 10 + 2


def test_a_changed_object_is_found(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path))
    name = store.segment_names(TOPIC_ID, 0)[0]
    content = bytearray(store.read_segment(TOPIC_ID, 0, name))
    content[len(content) // 2] ^= 1
    with s3.client() as client:
        bucket, _, key = store.segment_location(TOPIC_ID, 0, name).removeprefix("s3://").partition("/")
        client.put_object(Bucket=bucket, Key=key, Body=bytes(content))
    report = verify_store(store, workers=1)
    assert [fault.segment for fault in report.faults] == [name]
    with pytest.raises(StoreError, match="was changed in the store; run auditfuse verify"):
        count(store)
    assert name not in {path.name for path in copies(store)}


def test_three_hosts_append_at_once_and_nothing_is_lost(s3: FakeS3, tmp_path: Path) -> None:
    url = s3.url()

    def append(host: int) -> list[str]:
        store = s3.store(tmp_path / str(host), url)
        log = AppendLog(store, CONTROL, writer_id=new_writer_id(), now_ms=counting_clock())
        rows = [command_row(f"trip-{host}-{n}") for n in range(6)]
        return [one for row in rows for one in log.append([row])]

    with ThreadPoolExecutor(3) as pool:
        appended = {one for ids in pool.map(append, range(3)) for one in ids}
    store = s3.store(tmp_path, url)
    assert len(appended) == len(list(read_rows(store, CONTROL))) == 18
    assert verify_store(store, workers=1).holds


def writes_fail(number: int, failure: Failure) -> Callable[[str, str], Failure | None]:
    seen = 0

    def fails(method: str, path: str) -> Failure | None:
        nonlocal seen
        seen += method == "PUT"
        return failure if method == "PUT" and seen == number else None

    return fails


@pytest.mark.parametrize("failure", [one for one in FAILURES if one != "slow down"])
def test_whatever_write_fails_nothing_is_lost_and_nothing_is_there_twice(
    s3: FakeS3, tmp_path: Path, failure: Failure
) -> None:
    """Claim, two seals, an append: seven writes. Each of them fails once; its caller tries again."""
    store = s3.store(tmp_path, max_retries=0, timeout_s=TIMEOUT_S)
    for number in range(1, 8):
        with s3.failing(writes_fail(number, failure)):
            writer = until_known(claim, store, TOPIC_ID, number)
            until_known(writer.seal, event_rows(0, 3, partition=number), 3)
            until_known(writer.seal, event_rows(3, 3, partition=number), 6)
            log = AppendLog(store, CONTROL, writer_id=new_writer_id(), now_ms=counting_clock())
            until_known(log.append, [command_row(f"trip-{number}")])
    report = verify_store(store, workers=1)
    assert report.holds, report.faults
    assert report.rows == 7 * (6 + 1)
    assert [row.offset for row in read_rows(store, CONTROL)] == list(range(7))


def test_what_a_killed_writer_left_is_swept_by_the_next_one(s3: FakeS3, tmp_path: Path) -> None:
    store = s3.store(tmp_path, max_retries=0)
    killed = claim(store)
    with s3.failing(writes_fail(2, "refused")), pytest.raises(OSError):
        killed.seal(event_rows(0, 3), 3)  # its rows are there, its entry is not
    assert len(store.segment_names(TOPIC_ID, 0)) == 1
    following = claim(store)
    assert store.segment_names(TOPIC_ID, 0) == []
    following.seal(event_rows(0, 3), 3)
    with pytest.raises(Fenced):
        killed.seal(event_rows(0, 3), 3)
    report = verify_store(store, workers=1)
    assert report.holds, report.faults
    assert report.rows == 3


def until_known(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """As the worker does: again until it is known to be done."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            return call(*arguments, **options)
    return call(*arguments, **options)


def test_reads_that_fail_are_told_and_harm_nothing(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path, max_retries=0))
    with s3.failing(lambda method, path: "refused" if method == "GET" else None):
        with pytest.raises(OSError, match="could not do it"):
            count(store)
    assert count(store) == 29
    assert verify_store(store, workers=1).holds


def test_compaction_and_the_copies_that_follow_it(
    s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path))
    assert count(store) == 29
    before = {path.name for path in copies(store)}
    assert before == live(store)
    assert {oct(path.stat().st_mode & 0o777) for path in copies(store)} == {"0o440"}
    assert compact_store(store, StoreConfig(compact_fan_in_files=3), now_ms=lambda: START_MS).merged == 3
    now_ms = START_MS + 60_000
    catalog = Catalog(store, now_ms=lambda: now_ms)
    catalog.refresh(at_once=True)
    assert {path.name for path in copies(store)} == before | live(store)  # for queries that still run
    now_ms += GRACE_S * 1000
    claim(store)
    catalog.refresh(at_once=True)
    assert {path.name for path in copies(store)} == live(store)
    assert count(store) == 29
    assert verify_store(store, workers=1).holds


def test_compaction_goes_on_once_a_service_is_back(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path, max_retries=0))
    settings = StoreConfig(compact_fan_in_files=2, compact_interval_s=0.01)
    compactor = Compactor(store, settings, writer_id=new_writer_id(), now_ms=counting_clock())
    refused = threading.Semaphore(0)

    def fails(method: str, path: str) -> Failure:
        refused.release()
        return "refused"

    with s3.failing(fails):
        compactor.start()
        assert refused.acquire(timeout=30)
        assert refused.acquire(timeout=30)
    deadline = time.monotonic() + 30
    while len(PartitionLog.open(store, TOPIC_ID, 0).state.live) > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    compactor.stop()
    assert len(PartitionLog.open(store, TOPIC_ID, 0).state.live) == 1


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


def test_files_go_in_at_one_end_and_answers_come_out_at_the_other(s3: FakeS3, tmp_path: Path) -> None:
    url, reached = s3.url(), {"endpoint": s3.endpoint, "allow_http": True}
    write_config(
        tmp_path, redaction={"names": "off"}, worker={"processes": 0}, store={"url": url, "s3": reached}
    )
    events = [
        {
            "start_time_unix_nano": (START_MS + n) * 1_000_000,
            "agent_id": "invoice-agent",
            "environment": "production",
            "operation": "execute_tool",
            "action": "read_invoice",
        }
        for n in range(40)
    ]
    (tmp_path / "events.ndjson").write_text("\n".join(map(json.dumps, events)))
    report = json.loads(auditfuse("ingest", "--json", "events.ndjson", cwd=tmp_path).stdout.splitlines()[-1])
    assert (report["rows"], report["store"]) == (40, url)
    assert not (tmp_path / "auditfuse-data" / "store").exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ALLOW_HTTP": "true"}
    query = "select count(*) as n from events where agent_id = 'invoice-agent'"
    answer = auditfuse("sql", "--store", url, "--format", "json", query, cwd=elsewhere, env=environment)
    assert json.loads(answer.stdout) == [{"n": 40}]
    assert verify_store(s3.store(tmp_path, url)).holds


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "must be s3://bucket/prefix"),
        ("s3://b/..", "must be s3://bucket/prefix"),
        ("gs://bucket/prefix", "must be s3://bucket/prefix"),
        ("s3://key:secret@bucket/prefix", "must be s3://bucket/prefix"),
        ("s3://bucket/prefix?x=secret", "must be s3://bucket/prefix"),
    ],
)
def test_a_wrong_url_is_told_but_not_repeated(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        load_config(store=url)
    assert "secret" not in str(raised.value)


def test_a_configured_url_gives_way_to_the_command_lines_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, store={"url": "s3://bucket/prefix/"})
    assert load_config().store.url == "s3://bucket/prefix"
    assert load_config(store=tmp_path / "mine").store.url is None
    assert load_config(store="s3://other/place").store.url == "s3://other/place"


def test_keys_may_not_lie_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = {"url": "s3://bucket/prefix"}
    write_config(tmp_path, store=store)
    place = load_config().store.local_directory
    assert place.parent == Path("auditfuse-data/cache")
    write_config(tmp_path, store=store, keys={"path": str(place / "keys")})
    with pytest.raises(ConfigError, match="keys must be kept outside it"):
        load_config()


def test_the_check_of_a_configuration_says_what_a_bucket_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, store={"url": "s3://bucket/prefix"})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    done = CliRunner().invoke(config_app, ["check"], catch_exceptions=False)
    assert done.exit_code == 0
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "pipeline.audit.objects.s3", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'auditfuse\[s3\]'"):
        CliRunner().invoke(config_app, ["check"], catch_exceptions=False)
    write_config(tmp_path, store={"url": "s3://Bucket/prefix", "s3": {"endpoint": "http://me:secret@host"}})
    with pytest.raises(ConfigError) as raised:
        CliRunner().invoke(config_app, ["check"], catch_exceptions=False)
    assert "store.url: must be s3://bucket/prefix" in str(raised.value)
    assert "store.s3.endpoint: must be http(s)://host[:port]" in str(raised.value)
    assert "secret" not in str(raised.value)


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


def test_a_seal_is_four_requests(s3: FakeS3, tmp_path: Path) -> None:
    writer = claim(s3.store(tmp_path))
    writer.seal(event_rows(0, 3), 3)
    s3.requests.clear()
    writer.seal(event_rows(3, 3), 6)
    assert [method for method, _ in s3.requests] == ["GET", "PUT", "GET", "PUT"]


def test_a_policy_that_forbids_deletion_stops_neither_sealing_nor_compaction(
    s3: FakeS3, tmp_path: Path
) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path, max_retries=0), segments=4)
    settings = StoreConfig(compact_fan_in_files=2, superseded_grace_s=0)
    with s3.failing(lambda method, path: "forbidden" if method in ("POST", "DELETE") else None):
        assert compact_store(store, settings, now_ms=lambda: START_MS).merged
        claim(store).seal(event_rows(40, 3), 43)
    report = verify_store(store, workers=1)
    assert report.holds, report.faults
    assert report.rows == 4 * 10 + 2 + 3


def erase_in(folder: Path, store: Store) -> list[str]:
    """Erase the rows of one trace; returns what is out of reach."""
    settings = settings_in(folder)
    copies = Copies(store, settings, now_ms=counting_clock(START_MS + 60_000), staging_age_s=0)
    eraser = Eraser(store, Keys(settings.keys.path), copies, now_ms=counting_clock(START_MS + 60_000))
    outcome = eraser.execute(request(f"trace={1:032x}"))
    assert outcome.rows == 10
    return outcome.reached.out_of_reach


def test_an_erasure_leaves_nothing_in_the_bucket_or_in_this_machines_cache(
    s3: FakeS3, tmp_path: Path
) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path))
    assert count(store) == 29
    erased = store.segment_names(TOPIC_ID, 0)[0]
    left = erase_in(tmp_path, store)
    assert any("other machines that query the store" in what for what in left)
    assert not any("replaced files" in what for what in left)
    assert erased not in store.segment_names(TOPIC_ID, 0)
    assert {path.name for path in copies(store)} <= live(store)
    assert erased not in {path.name for path in copies(store)}
    assert count(store) == 19
    assert verify_store(store, workers=1).holds


def test_an_erasure_tells_what_an_object_lock_keeps_and_until_when(s3: FakeS3, tmp_path: Path) -> None:
    store = sealed_store(tmp_path, at=s3.store(tmp_path, s3.url(bucket=LOCKED_BUCKET), lock_days=30))
    until = datetime.now(UTC) + timedelta(days=30)
    [told] = [what for what in erase_in(tmp_path, store) if "replaced files" in what]
    assert f"object lock until {until:%Y-%m-%d}" in told
    assert verify_store(store, workers=1).holds


def test_a_service_that_fails_at_random_for_hours_loses_nothing(s3: FakeS3, tmp_path: Path) -> None:
    """Every sixth request goes wrong, each in another way: claims, seals, appends, compaction, reading."""
    fate = random.Random(1)
    url = s3.url()
    store, patient = s3.store(tmp_path, url, max_retries=0), s3.store(tmp_path, url, max_retries=4)

    def fails(method: str, path: str) -> Failure | None:
        return fate.choice([one for one in FAILURES if one != "hangs"]) if fate.random() < 1 / 6 else None

    with s3.failing(fails):
        for number in range(4):
            writer = until_known(claim, store)
            at = writer.end
            until_known(writer.seal, event_rows(at, 3), at + 3)
            until_known(writer.seal, event_rows(at + 3, 3), at + 6)
            log = AppendLog(store, CONTROL, writer_id=new_writer_id(), now_ms=counting_clock())
            until_known(log.append, [command_row(f"trip-{number}")])
        settings = StoreConfig(compact_fan_in_files=2, superseded_grace_s=0)
        until_known(compact_store, patient, settings, now_ms=counting_clock())
        assert until_known(count, patient) == 24
    report = verify_store(store, workers=1)
    assert report.holds, report.faults
    assert report.rows == 24 + 4
    assert [row.offset for row in read_rows(store, CONTROL)] == list(range(4))
