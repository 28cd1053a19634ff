"""The tail of a shard: what the signals topic tells is a hint, and what detection sees is the store's."""

import random
from pathlib import Path

import polars as pl
import pytest
from support.audit import START_MS, TOPIC_ID, claim, counting_clock, event_row, seal_batches

from pipeline.audit.compact import compact_store
from pipeline.audit.log import encode_entry
from pipeline.audit.signals import signals_from_rows
from pipeline.audit.store import Store, StoreConfig
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.detect.model import SignalBatch
from pipeline.keys import Keys
from pipeline.signals_topic.authentic import Authenticity, Forged
from pipeline.signals_topic.message import SignalsMessage, cut_of, decoded, encoded, with_rows
from pipeline.signals_topic.shard import Shard, all_shards, cut, shard_number
from pipeline.signals_topic.told import Told, ToldStore
from pipeline.tail import Handover, Tail
from schemas.log_entry import LogEntry
from schemas.record import Row

KEY = (TOPIC_ID, 0)
SHARDS = 3
AGENTS = [f"agent-{n}" for n in range(8)]
EVERY_S = 1e9
"""So seldom the store is looked at unasked."""


class Sealed:
    """A partition, and what would have been told of it."""

    def __init__(self, folder: Path, segments: int = 12) -> None:
        self.store = Store(folder / "store")
        self.told: list[tuple[LogEntry, list[Row]]] = []
        self._entries: list[LogEntry] = []
        self._writer = PartitionWriter.claim(
            self.store,
            *KEY,
            writer_id=new_writer_id(),
            now_ms=counting_clock(),
            on_entry=self._entries.append,
        )
        self.go_on(segments)

    def go_on(self, segments: int) -> None:
        """Seal so many more."""
        writer, entries = self._writer, self._entries
        for number in range(segments):
            rows = [
                event_row(writer.end + n, agent_id=AGENTS[(number + n) % len(AGENTS)])
                for n in range(3 + number % 4)
            ]
            seal_batches(writer, [rows])
            self.told.append((entries[-1], rows))
            if number % 3 == 0:
                writer.idle(writer.end, START_MS + number * 60_000)
                self.told.append((entries[-1], []))


class Reader:
    """One shard's side of the topic."""

    def __init__(self, store: Store, shard: Shard, sweep_s: float = EVERY_S) -> None:
        self.shard = shard
        self.now_s = 0.0
        self.store = ToldStore(store)
        self.handover = Handover()
        self.told = Told(sweep_s, lambda: self.now_s)
        self.tail = Tail(self.store, self.handover, shard=shard, is_due=self.told.is_due)
        self.tail.discover(START_MS)
        self.seen: list[SignalBatch] = []
        self.ends: dict[tuple[str, int], int] = {}

    def take(self, content: bytes) -> None:
        """As the role does with each message."""
        message = decoded(content)
        if self.tail.is_past(KEY, message.n):
            return
        self.store.tell(*KEY, message.n, message.entry)
        part = cut_of(message)
        if message.segment is not None and part is not None:
            self.handover.put(message.segment, part.signals, part.marker)
        self.told.tell(KEY, message.n)

    def read(self) -> None:
        for batch in self.tail.fresh(self.ends):
            self.seen.append(batch)
            self.ends[KEY] = max(self.ends.get(KEY, 0), batch.end)


@pytest.fixture
def sealed(tmp_path: Path) -> Sealed:
    return Sealed(tmp_path)


def message_of(entry: LogEntry, rows: list[Row], shard: Shard, max_bytes: int = 1 << 20) -> bytes:
    segment = entry.segment.name if entry.segment else None
    message = SignalsMessage(
        topic_id=TOPIC_ID, partition=0, n=entry.n, entry=encode_entry(entry), segment=segment
    )
    if segment is None:
        return encoded(message)
    return with_rows(message, cut(signals_from_rows(rows), [shard])[0], max_bytes)


def from_store(store: Store, shard: Shard) -> list[SignalBatch]:
    reader = Reader(store, shard, sweep_s=0.0)
    reader.read()
    return reader.seen


def same(one: list[SignalBatch], other: list[SignalBatch]) -> bool:
    return len(one) == len(other) and all(
        a._replace(signals=b.signals) == b and a.signals.equals(b.signals)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("shard", all_shards(SHARDS))
@pytest.mark.parametrize("seed", range(8))
def test_messages_lost_repeated_and_out_of_order_change_nothing(
    sealed: Sealed, shard: Shard, seed: int
) -> None:
    """Also: what came before its claim was known, long after it was read, or without its rows."""
    expected = from_store(sealed.store, shard)
    chance = random.Random(seed)
    messages = [
        message_of(entry, rows, shard, max_bytes=chance.choice([1 << 20, 1 << 20, 0]))
        for entry, rows in sealed.told
        for _ in range(chance.choice([0, 1, 1, 2]))
    ]
    chance.shuffle(messages)
    reader = Reader(sealed.store, shard)
    for message in messages:
        reader.take(message)
        if chance.random() < 0.3:
            reader.read()
    reader.now_s += 2 * EVERY_S
    reader.read()
    assert same(reader.seen, expected)


def test_all_shards_see_every_row_and_the_last_one_all_of_them(sealed: Sealed) -> None:
    shards = [from_store(sealed.store, shard) for shard in all_shards(SHARDS)]
    offsets = [sorted(o for batch in seen for o in batch.signals["offset"]) for seen in shards]
    assert offsets[2] == sorted(offsets[0] + offsets[1]) == list(range(len(offsets[2])))
    for seen, number in zip(shards[:2], range(2), strict=True):
        agents = {agent for batch in seen for agent in batch.signals["agent_id"]}
        assert {shard_number("production", agent, SHARDS) for agent in agents} <= {number}
    assert [batch.marker for batch in shards[0]] == [batch.marker for batch in shards[1]]


def test_what_is_told_is_not_asked_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither entries nor segments: only what follows the last entry told is looked for."""
    sealed, asked = Sealed(tmp_path, segments=0), list[int]()
    reader = Reader(sealed.store, Shard(0, SHARDS))
    sealed.go_on(12)
    expected = from_store(sealed.store, Shard(0, SHARDS))
    read = Store.read_entry

    def counted(self: Store, topic_id: str, partition: int, n: int) -> bytes | None:
        asked.append(n)
        return read(self, topic_id, partition, n)

    monkeypatch.setattr(Store, "read_entry", counted)
    monkeypatch.setattr(Store, "open_segment", lambda *_: pytest.fail("a segment was read"))
    for entry, rows in sealed.told:
        reader.take(message_of(entry, rows, reader.shard))
    reader.read()
    assert set(asked) == {sealed.told[-1][0].n + 1}
    assert same(reader.seen, expected)


def test_what_nobody_told_is_found_by_the_sweep_and_not_before(sealed: Sealed) -> None:
    reader = Reader(sealed.store, Shard(2, SHARDS), sweep_s=2.0)
    reader.read()
    reader.read()
    before = len(reader.seen)
    writer = claim(sealed.store)
    seal_batches(writer, [[event_row(writer.end, agent_id=AGENTS[0])]])
    reader.now_s = 1.9
    reader.read()
    assert len(reader.seen) == before
    reader.now_s = 2.0
    reader.read()
    assert len(reader.seen) == before + 1


def test_what_another_consumed_before_it_was_looked_for_here_is_in_the_history(sealed: Sealed) -> None:
    """A member that gets a shard back rebuilds from ends beyond what it has read of the logs."""
    shard = all_shards(SHARDS)[-1]
    reader = Reader(sealed.store, shard)
    reader.now_s += 2 * EVERY_S
    reader.read()
    before = dict(reader.ends)
    sealed.go_on(5)
    consumed = {KEY: max(entry.segment.end for entry, _ in sealed.told if entry.segment is not None)}
    history = list(reader.tail.history(after={}, upto=consumed))
    assert consumed[KEY] > before[KEY]
    assert sum(batch.signals.height for batch in history) == consumed[KEY]
    assert not [batch for batch in reader.tail.fresh(consumed) if batch.signals.height]


def test_what_was_compacted_since_reads_the_same(sealed: Sealed, tmp_path: Path) -> None:
    """A new member, long after: its shard's history is that of the store."""
    shard = Shard(1, SHARDS)
    expected = from_store(sealed.store, shard)
    config = StoreConfig(path=tmp_path / "store", compact_fan_in_files=2, superseded_grace_s=0)
    assert compact_store(sealed.store, config, now_ms=lambda: START_MS + 10_000).merged
    assert same(from_store(sealed.store, shard), expected)


def test_a_message_for_one_shard_is_none_for_another_nor_is_one_of_a_stranger(
    sealed: Sealed, tmp_path: Path
) -> None:
    ours, theirs = Authenticity(Keys(tmp_path / "ours")), Authenticity(Keys(tmp_path / "theirs"))
    entry, rows = sealed.told[0]
    content = message_of(entry, rows, Shard(0, SHARDS))
    signed = ours.signed(content, Shard(0, SHARDS))
    assert ours.checked(signed, Shard(0, SHARDS)) == content
    changed = signed[:-1] + bytes([signed[-1] ^ 1])
    for message, shard in (
        (signed, Shard(1, SHARDS)),
        (signed, Shard(0, SHARDS + 1)),
        (theirs.signed(content, Shard(0, SHARDS)), Shard(0, SHARDS)),
        (changed, Shard(0, SHARDS)),
        (content, Shard(0, SHARDS)),
        (b"", Shard(0, SHARDS)),
    ):
        with pytest.raises(Forged):
            ours.checked(message, shard)


def test_rows_of_another_version_are_left_and_read_from_the_store(sealed: Sealed) -> None:
    """In a rolling upgrade, rows may have columns that this version does not know, or lack some."""
    shard = Shard(2, SHARDS)
    entry, rows = sealed.told[0]
    part = cut(signals_from_rows(rows), [shard])[0]
    newer = part._replace(signals=part.signals.with_columns(pl.lit(1).alias("newer")))
    message = SignalsMessage(
        topic_id=TOPIC_ID, partition=0, n=entry.n, entry=encode_entry(entry), segment="any"
    )
    assert cut_of(decoded(with_rows(message, newer, 1 << 20))) is None
    found = cut_of(decoded(with_rows(message, part, 1 << 20)))
    assert found is not None
    assert found.signals.equals(part.signals)
    assert found.marker == part.marker
