"""Erasures in tests: a store with its configuration beside it, orders, and the rows as they are stored."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from support.audit import START_MS, counting_clock

from pipeline.audit.erase.reach import Copies
from pipeline.audit.erase.run import Eraser, Outcome, Request
from pipeline.audit.erase.scope import Predicate, parse_scope
from pipeline.audit.erase.values import needles
from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import Store, open_store
from pipeline.config import Config, load_config
from pipeline.keys import Keys
from schemas.erasure import Erased

DAY_MS = 86_400_000


def settings_in(folder: Path, more: str = "") -> Config:
    """The configuration of a store in `folder`; `more` is TOML."""
    file = folder / "auditfuse.toml"
    file.write_text(f'data_dir = "{folder}"\n{more}\n[redaction]\nnames = "off"\n[worker]\nprocesses = 0\n')
    return load_config(file)


def store_of(settings: Config) -> Store:
    """The store that a configuration names."""
    return open_store(settings.store)


def eraser_of(
    settings: Config, *, now_ms: Callable[[], int] | None = None, staging_age_s: float = 0
) -> Eraser:
    """What erases there. Without an age nothing in staging is under way: nobody else writes."""
    store = store_of(settings)
    now_ms = now_ms or counting_clock(START_MS + DAY_MS)
    copies = Copies(store, settings, now_ms=now_ms, staging_age_s=staging_age_s)
    return Eraser(store, Keys(settings.keys.path), copies, now_ms=now_ms)


def request(
    *wheres: str, what: Erased = "row", values: Sequence[str] = (), settings: Config | None = None
) -> Request:
    """An order as the command line makes it."""
    looked_for = None
    if values:
        assert settings is not None
        looked_for = needles(values, settings.redaction, Keys(settings.keys.path))
    predicate = Predicate(scope=parse_scope(wheres), values=list(values), what=what)
    return Request(predicate=predicate, needles=looked_for, by="Ana", reason="request 4711")


def erase(settings: Config, *wheres: str, what: Erased = "row", values: Sequence[str] = ()) -> Outcome:
    """Order and perform an erasure."""
    asked = request(*wheres, what=what, values=values, settings=settings)
    return eraser_of(settings).execute(asked)


def stored_rows(store: Store) -> dict[tuple[str, int, int, int], dict[str, Any]]:
    """Every live row by (topic id, partition, offset, item), all columns as they are stored."""
    found: dict[tuple[str, int, int, int], dict[str, Any]] = {}
    for topic_id, partition in store.partitions():
        for name in PartitionLog.open(store, topic_id, partition).state.live:
            with store.open_segment(topic_id, partition, name) as source:
                rows: list[dict[str, Any]] = open_parquet(source).read().to_pylist()
                for row in rows:
                    found[topic_id, partition, row["offset"], row["item"]] = row
    return found


def event_rows_of(store: Store) -> Iterator[dict[str, Any]]:
    """The live rows of event topics."""
    return (row for key, row in stored_rows(store).items() if not key[0].startswith("_"))
