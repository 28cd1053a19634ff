"""A legal hold keeps what it covers from erasure and retention until it is lifted."""

from pathlib import Path

import pytest
from support.audit import START_MS, TOPIC_ID, claim, counting_clock, event_row, sealed_store
from support.erase import erase, eraser_of, request, settings_in, store_of, stored_rows

from pipeline.audit.erase.holds import holds_in_force, lift_hold, place_hold
from pipeline.audit.erase.scope import parse_scope
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store
from pipeline.audit.verify import verify_store
from pipeline.errors import ConfigError
from schemas.erasure import Scope
from schemas.log_entry import LogEntry, PositionRange

TRACE = f"trace={2:032x}"


def erased(store: Store) -> set[int]:
    return {key[2] for key, row in stored_rows(store).items() if key[0] == TOPIC_ID and row["meta"] is None}


def hold(store: Store, *wheres: str) -> str:
    """Place a hold; returns its id."""
    scope = parse_scope(wheres)
    return place_hold(store, scope, by="legal", reason="case 12", now_ms=counting_clock()).hold


def test_held_rows_stay_and_are_counted(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path)
    one, other = hold(store, TRACE), hold(store, "agent=invoice-agent", f"to={START_MS + 250 + 3}")
    outcome = erase(config, "agent=invoice-agent")
    assert outcome.total.held == 12
    assert erased(store) == set(range(3, 10)) | set(range(20, 30))
    lift_hold(store, one, by="legal", reason="closed", now_ms=counting_clock())
    assert [placed.hold for placed in holds_in_force(store)] == [other]
    outcome = erase(config, "agent=invoice-agent")
    assert (outcome.rows, outcome.total.held) == (9, 3)
    assert verify_store(store).holds


def test_a_hold_that_comes_between_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sealed after the segment was made anew, before the entry that would publish it."""
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path)
    placed: list[str] = []
    real = Store.create_segment

    def create_segment(self: Store, topic_id: str, partition: int, name: str, content: bytes) -> None:
        real(self, topic_id, partition, name, content)
        if "-erase-" in name and name.startswith(f"{10:020d}") and not placed:
            placed.append(hold(self, TRACE))

    monkeypatch.setattr(Store, "create_segment", create_segment)
    outcome = erase(config, "agent=invoice-agent")
    assert placed
    assert outcome.total.held == 9
    assert erased(store) == set(range(10)) | set(range(20, 30))
    assert verify_store(store).holds


def test_a_hold_by_pseudonym_covers_payloads_too(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    name = "<EMAIL_ADDRESS:k1.0123456789abcdef>"
    store = store_of(config)
    claim(store).seal([event_row(0, end_user=name), event_row(1)], 2)
    place_hold(store, Scope(pseudonyms=[name]), by="legal", reason="case", now_ms=counting_clock())
    outcome = erase(config, "topic=agent-events")
    assert erased(store) == {1}
    assert outcome.total.held == 1
    outcome = erase(config, f"end-user={name}")
    assert outcome.total.in_force == 1, "the hold itself names it, and stays"
    assert [placed.by for placed in holds_in_force(store)] == ["legal"]


def test_a_lifted_hold_goes_as_a_whole(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    name = "<EMAIL_ADDRESS:k1.0123456789abcdef>"
    store = sealed_store(config.store.path)
    placed = place_hold(store, Scope(pseudonyms=[name]), by="legal", reason="case", now_ms=counting_clock())
    lift_hold(store, placed.hold, by="legal", reason="closed", now_ms=counting_clock())
    outcome = erase(config, f"end-user={name}")
    assert outcome.rows == 2
    assert holds_in_force(store) == []
    assert verify_store(store).holds


def test_a_hold_of_everything_is_refused(tmp_path: Path) -> None:
    store = sealed_store(tmp_path / "store")
    with pytest.raises(ConfigError, match="--where"):
        place_hold(store, Scope(), by="legal", reason="case", now_ms=counting_clock())
    with pytest.raises(ConfigError, match="hold list"):
        lift_hold(store, "0" * 16, by="legal", reason="case", now_ms=counting_clock())


def test_the_intent_stands_before_the_first_entry(tmp_path: Path) -> None:
    config = settings_in(tmp_path)
    store = sealed_store(config.store.path)
    eraser = eraser_of(config)
    outcome = eraser.execute(request(TRACE))
    (phases,) = eraser.all()
    entries: list[LogEntry] = list(PartitionLog.open(store, TOPIC_ID, 0).entries_after(-1))
    (entry,) = [entry for entry in entries if entry.kind == "erase"]
    assert entry.erasure == outcome.erasure == phases["intent"].erasure
    assert phases["intent"].at_ms < entry.at_ms < phases["completion"].at_ms
    assert (phases["completion"].rows, phases["completion"].held_rows) == (9, 0)
    assert entry.erased_rows == [PositionRange(10, 0, 18, 0)]
