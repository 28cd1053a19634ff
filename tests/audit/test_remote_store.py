"""The audit store on S3: what holds in a directory holds there, and what the network does loses nothing."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.audit import START_MS, TOPIC_ID, claim, command_row, counting_clock, event_rows, sealed_store
from support.erase import request, settings_in
from support.remote import copies, count, live
from support.s3 import FAILURES, LOCKED_BUCKET, TIMEOUT_S, Failure, FakeS3

from pipeline.audit.catalog import GRACE_S, Catalog
from pipeline.audit.compact import Compactor, compact_store
from pipeline.audit.control import AppendLog, read_rows
from pipeline.audit.erase.reach import Copies
from pipeline.audit.erase.run import Eraser
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CONTROL, Store, StoreConfig
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import new_writer_id
from pipeline.errors import Fenced, StoreError
from pipeline.keys import Keys


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
