"""The verdict *erasures accounted for*: what is gone, what erase entries say is gone, and who ordered it."""

import msgspec
import pytest
from support.audit import TOPIC_ID, sealed_store
from support.erase import erase, settings_in, store_of
from support.tamper import entry_paths, faults_by_sql, overwrite, rewrite_rows, segment_paths, set_value

from pipeline.audit.compact import compact_store
from pipeline.audit.store import StoreConfig
from pipeline.audit.verify import VerifyReport, Wanted, verify_store
from pipeline.config import Config

TRACE = "trace=" + f"{2:032x}"
"""Offsets 10 to 19: the second segment; 19 is a dead letter, which has no trace."""
VERDICT = "erasures accounted for"


@pytest.fixture
def settings(tmp_path):
    settings = settings_in(tmp_path)
    sealed_store(settings.store.path)
    return settings


def verified(settings: Config) -> VerifyReport:
    return verify_store(store_of(settings), workers=1)


def only_fault(settings: Config) -> tuple[str, int | None, str]:
    """The single fault; SQL sees it too."""
    [fault] = verified(settings).faults
    assert faults_by_sql(settings.store.path)
    return fault.verdict, fault.offset, fault.how


@pytest.mark.parametrize(
    ("what", "told"), [("row", "9 rows and 0 payloads"), ("payload", "0 rows and 9 payloads")]
)
def test_an_erasure_is_told_and_holds(settings, what, told):
    erase(settings, TRACE, what=what)
    report = verified(settings)
    assert report.faults == []
    assert faults_by_sql(settings.store.path) == []
    first, second = report.outcome(VERDICT).details
    assert first == f"{told} erased by 1 erasure"
    assert "by Ana on 2026-01-02" in second
    assert "(request 4711)" in second
    assert "completed 2026-01-02" in second


def test_erased_rows_that_were_compacted_since(settings):
    erase(settings, TRACE, what="payload")
    erase(settings, "trace=" + f"{1:032x}")
    config = StoreConfig(path=settings.store.path, compact_fan_in_files=2, superseded_grace_s=0)
    assert compact_store(store_of(settings), config, now_ms=lambda: 1_800_000_000_000).made
    report = verified(settings)
    assert report.faults == []
    assert faults_by_sql(settings.store.path) == []
    assert report.outcome(VERDICT).details[0] == "10 rows and 9 payloads erased by 2 erasures"


def test_a_value_that_was_put_back(settings):
    before = segment_paths(settings.store.path)[1].read_bytes()
    erase(settings, TRACE, what="payload")
    [path] = [path for path in segment_paths(settings.store.path) if "-erase-" in path.name]
    overwrite(path, before)  # all its rows as they were
    faults = [fault for fault in verified(settings).faults if fault.verdict == VERDICT]
    assert [fault.offset for fault in faults] == [*range(10, 19)]
    assert {fault.how for fault in faults} == {
        "an erase entry says that its payload is gone, but it is there"
    }
    assert {row[4] for row in faults_by_sql(settings.store.path) if VERDICT in row[6]} == {*range(10, 19)}


def test_one_more_payload_than_the_entry_says(settings):
    erase(settings, TRACE, what="payload")
    [path] = [path for path in segment_paths(settings.store.path) if "-erase-" in path.name]

    def take_one_more(columns):
        from hashlib import sha256

        columns["cp"][9] = sha256(columns["salt_p"][9] + columns["payload"][9].encode()).digest()
        columns["payload"][9] = columns["salt_p"][9] = None

    rewrite_rows(path, take_one_more)
    how = "its payload was erased, and no erase entry accounts for it"
    assert only_fault(settings) == (VERDICT, 19, how)


def test_an_erased_row_that_kept_a_column(settings):
    erase(settings, TRACE)
    [path] = [path for path in segment_paths(settings.store.path) if "-erase-" in path.name]
    rewrite_rows(path, set_value("agent_id", 4, "invoice-agent"))
    assert only_fault(settings) == (VERDICT, 14, "it was erased, but kept typed columns")


def test_an_erased_row_with_another_commitment(settings):
    erase(settings, TRACE)
    [path] = [path for path in segment_paths(settings.store.path) if "-erase-" in path.name]
    rewrite_rows(path, set_value("c", 4, b"0" * 32))
    verdict, offset, _ = only_fault(settings)
    assert (verdict, offset) == ("rows intact", 14)


def test_an_entry_that_nobody_ordered(settings):
    """The entry's erasure is renamed, and nothing follows the entry that would show it otherwise."""
    erase(settings, TRACE)
    path = entry_paths(settings.store.path)[-1]
    entry = msgspec.json.decode(path.read_bytes())
    overwrite(path, path.read_bytes().replace(entry["erasure"].encode(), b"f" * 32))
    [fault] = verified(settings).faults
    assert (fault.verdict, fault.entry) == (VERDICT, entry["n"])
    assert fault.how == "erasure ffffffff: no intent in _control orders it"
    assert faults_by_sql(settings.store.path)


def test_since_and_partition_leave_rows_out_and_say_so(settings):
    store = store_of(settings)
    report = verify_store(store, Wanted(partitions=frozenset({(TOPIC_ID, 0)})))
    assert (report.rows, report.segments) == (30, 3)
    assert report.left_out[0].startswith("2 rows in 1 segments: only the rows of ")
    last = verify_store(store, Wanted(since_ms=1_767_225_600_000 + 275))
    assert last.rows < 30 and last.left_out
    rewrite_rows(segment_paths(settings.store.path)[0], set_value("payload", 4, "x"))
    assert verify_store(store, Wanted(since_ms=1_767_225_600_000 + 275)).holds
    assert not verify_store(store).holds
