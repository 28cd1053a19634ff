"""Every way in which the store is written, as an operation that can be done again after error or death."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support.audit import TOPIC_ID, command_row
from support.erase import eraser_of, request, settings_in
from support.stage import BUNDLE_ENTRIES, DAY_MS, HOUR_MS, ROWS, Stage

from pipeline.audit import bundle
from pipeline.audit.arrow import pq
from pipeline.audit.catalog import Catalog
from pipeline.audit.checkpoint.anchors import AnchorError, sender
from pipeline.audit.checkpoint.config import CheckpointConfig, DirectoryAnchor
from pipeline.audit.checkpoint.delivery import AnchorDelivery
from pipeline.audit.checkpoint.key import present_keys, signing_keys
from pipeline.audit.checkpoint.statement import Checkpoint
from pipeline.audit.control import AppendLog
from pipeline.audit.erase import orders
from pipeline.audit.erase.orders import ControlRows
from pipeline.audit.gap import accept_gap, resume
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import CHECKPOINT, CONTROL, FINDINGS
from pipeline.audit.writer import new_writer_id
from pipeline.errors import StoreError
from pipeline.topics.kafka_config import KafkaConfig
from schemas.erasure import Erased, Hold, Scope


class Operation(NamedTuple):
    """`begin` gives what a process holds and does: called again after an error, begun again after a death."""

    name: str
    prepare: Callable[[Stage], object]
    begin: Callable[[Stage], Callable[[], object]]
    check: Callable[[Stage], None] = lambda _: None
    """What must hold as soon as it is done."""


def _two_segments(stage: Stage) -> None:
    writer = stage.writer()
    stage.seal(writer, 0)
    stage.seal(writer, ROWS)
    stage.append(CONTROL, "first")


def _halted(stage: Stage) -> None:
    _two_segments(stage)
    stage.writer().halt("offset 4 is not held", 2 * ROWS)


def _nothing(stage: Stage) -> None:
    stage.folder.mkdir(exist_ok=True)


def _claim(stage: Stage) -> Callable[[], object]:
    return stage.writer


def _seal(stage: Stage) -> Callable[[], object]:
    writer = stage.writer()
    return lambda: stage.seal(writer, 2 * ROWS)


def _first_seal(stage: Stage) -> Callable[[], object]:
    return lambda: stage.seal(stage.writer(), 0)


def _idle(stage: Stage) -> Callable[[], object]:
    writer = stage.writer()
    return lambda: writer.idle(2 * ROWS + 3, 5)


def _halt(stage: Stage) -> Callable[[], object]:
    writer = stage.writer()
    return lambda: writer.halt("offset 4 is not held", 2 * ROWS)


def _is_halted(stage: Stage) -> bool:
    return PartitionLog.open(stage.store, TOPIC_ID, 0).state.halted is not None


def _decision(decide: Callable[..., object], **fields: object) -> Callable[[Stage], Callable[[], object]]:
    """A person's decision on a halted partition, and the claim that acts on it."""

    def begin(stage: Stage) -> Callable[[], object]:
        def act() -> None:
            if _is_halted(stage):
                decide(stage.store, TOPIC_ID, 0, now_ms=stage.now_ms, reason="known", by="ana", **fields)
            stage.writer()

        return act

    return begin


def _append(topic_id: str) -> Callable[[Stage], Callable[[], object]]:
    def begin(stage: Stage) -> Callable[[], object]:
        appender = AppendLog(stage.store, topic_id, writer_id=new_writer_id(), now_ms=stage.now_ms)
        rows = [command_row(one_id) for one_id in ("second", "third")]
        return lambda: appender.append(rows)

    return begin


def _compact(stage: Stage) -> Callable[[], object]:
    return stage.compactor().run_once


def _compacted(stage: Stage) -> None:
    _two_segments(stage)
    stage.compactor().run_once()


def _sweep(stage: Stage) -> Callable[[], object]:
    stage.later_ms = HOUR_MS
    return _compact(stage)


def _checkpoint(stage: Stage) -> Callable[[], object]:
    sequencer = stage.sequencer()
    return lambda: sequencer.run_once(take_over=True)


def _checkpointed(stage: Stage) -> None:
    _two_segments(stage)
    stage.sequencer().run_once()
    stage.seal(stage.writer(), 2 * ROWS)


def _catalog(stage: Stage) -> Callable[[], object]:
    catalog = Catalog(stage.store, now_ms=stage.now_ms)
    return lambda: catalog.refresh(at_once=True)


def _cataloged(stage: Stage) -> None:
    _two_segments(stage)
    _catalog(stage)()
    stage.append(CONTROL, "second")


def _checkpointed_log(stage: Stage) -> None:
    """A log of which the tree holds a bundle's entries."""
    _two_segments(stage)
    stage.writer()
    stage.sequencer().run_once()


def _bundle(stage: Stage) -> Callable[[], object]:
    return stage.tend


def _bundled(stage: Stage) -> None:
    _checkpointed_log(stage)
    stage.tend()
    Stage(stage.folder, 8 * DAY_MS).writer()


def delete_bundled(stage: Stage) -> Callable[[], object]:
    stage.later_ms = 8 * DAY_MS
    clock = {"s": 0.0}
    compactor = stage.compactor(clock_s=lambda: clock["s"])
    checkpoint = PartitionLog.open(stage.store, CHECKPOINT, 0).state
    compactor.tend_log(checkpoint)
    clock["s"] += bundle.KNOWN_BEFORE_DELETION_S
    return lambda: compactor.tend_log(checkpoint)


def _few_entry_files(stage: Stage) -> None:
    """The last one goes last: where a power cut brings it back, the next pass finds it."""
    names = stage.store.objects.names(stage.store.log_prefix(TOPIC_ID, 0))
    left = {n for name in names if name.endswith(".json") and (n := int(name[:12])) < BUNDLE_ENTRIES}
    assert left <= {BUNDLE_ENTRIES - 1}, f"files of bundled entries are left: {left}"


def _erase(what: Erased) -> Callable[[Stage], Callable[[], object]]:
    """As a person does who orders it, and resumes what was begun."""

    def begin(stage: Stage) -> Callable[[], object]:
        eraser = eraser_of(settings_in(stage.folder), now_ms=stage.now_ms)
        order = request(f"trace={1:032x}", what=what)

        def act() -> None:
            known = ControlRows(stage.store)
            known.refresh()
            try:
                for erasure in known.state.erasures:
                    eraser.resume(order, erasure)
                if not known.state.erasures:
                    eraser.execute(order)
            except StoreError as error:  # it says what failed, and to resume it
                raise OSError from error

        return act

    return begin


def _nowhere(column: str) -> Callable[[Stage], None]:
    """No file, live or not, holds what was erased."""

    def check(stage: Stage) -> None:
        for path in stage.root.glob(f"segments/{TOPIC_ID}/0/*.parquet"):
            left = list(_offsets_with(path, column))
            assert not left, f"{path.name} holds erased rows {left}"

    return check


def _offsets_with(path: Path, column: str) -> Iterator[int]:
    table: Any = pq.ParquetFile(path).read()
    return (row["offset"] for row in table.to_pylist() if row[column] is not None)


def _hold(stage: Stage) -> Callable[[], object]:
    row = Hold(
        id="case-7:place",
        hold="case-7",
        phase="place",
        at_ms=0,
        by="ana",
        reason="case 7",
        scope=Scope(agent="x"),
    )
    return lambda: orders.append(stage.store, row, stage.now_ms)


def _deliver(stage: Stage) -> Callable[[], object]:
    """To an anchor that is a directory."""
    anchor = DirectoryAnchor(name="vault", kind="directory", path=stage.folder / "anchor")
    delivery = AnchorDelivery(anchor.name, sender(anchor, KafkaConfig()), stage.folder / "checkpoint")
    [name] = stage.store.objects.names("checkpoints")
    newest = Checkpoint.parse(stage.store.objects.read(f"checkpoints/{name}"))

    def act() -> None:
        try:
            delivery.deliver(newest)
        except AnchorError as error:  # its thread tries again, whatever it was
            raise OSError from error

    return act


def _is_delivered(stage: Stage) -> None:
    kept = {path.name: path.read_bytes() for path in (stage.folder / "anchor").glob("*.note")}
    names = stage.store.objects.names("checkpoints")
    assert kept == {name: stage.store.objects.read(f"checkpoints/{name}") for name in names}


def _first_key(stage: Stage) -> Callable[[], object]:
    return lambda: signing_keys(CheckpointConfig(), stage.folder / "keys", None)


def _has_key(stage: Stage) -> None:
    [key] = present_keys(CheckpointConfig(), stage.folder / "keys")
    public = stage.folder / "keys" / "checkpoint.pub"
    assert not public.exists() or public.read_text().strip() == str(key.public)


OPERATIONS = [
    Operation("first claim and seal of a store", _nothing, _first_seal),
    Operation("claim", _two_segments, _claim),
    Operation("seal", _two_segments, _seal),
    Operation("idle", _two_segments, _idle),
    Operation("halt", _two_segments, _halt),
    Operation("gap", _halted, _decision(accept_gap, to=9)),
    Operation("resume", _halted, _decision(resume)),
    Operation("append to _control", _two_segments, _append(CONTROL)),
    Operation("first append to _findings", _two_segments, _append(FINDINGS)),
    Operation("hold", _two_segments, _hold),
    Operation("compact", _two_segments, _compact),
    Operation("deletion of replaced segments", _compacted, _sweep),
    Operation("erase rows", _compacted, _erase("row"), _nowhere("meta")),
    Operation("erase payloads", _compacted, _erase("payload"), _nowhere("payload")),
    Operation("first key", _two_segments, _first_key, _has_key),
    Operation("first checkpoint", _two_segments, _checkpoint),
    Operation("checkpoint", _checkpointed, _checkpoint),
    Operation("delivery to an anchor", _checkpointed_log, _deliver, _is_delivered),
    Operation("bundle and log snapshot", _checkpointed_log, _bundle),
    Operation("deletion of bundled entries", _bundled, delete_bundled, _few_entry_files),
    Operation("catalog", _cataloged, _catalog),
]
