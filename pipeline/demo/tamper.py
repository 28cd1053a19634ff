"""Tamper with a store as somebody with access to its disk would: one value of one row."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pipeline.audit.arrow import pa, pq
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import open_store


@contextmanager
def tamper_with_one_row(store: Path) -> Generator[str]:
    """Raise the amount of one stored ledger entry; says which. The file is put back afterwards."""
    path, row = _a_ledger_entry(store)
    original = path.read_bytes()
    kept = pq.ParquetFile(path).metadata.metadata
    table = pq.read_table(path)
    payloads = table.column("payload").to_pylist()
    payloads[row] = payloads[row].replace('"amount":', '"amount":9')
    changed = table.set_column(table.schema.get_field_index("payload"), "payload", pa.array(payloads))
    where = (
        f"offset {table.column('offset')[row]}, item {table.column('item')[row]} of {path.parent.parent.name}"
    )
    path.chmod(0o640)
    with pq.ParquetWriter(path, changed.schema) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata({key: kept[key] for key in kept if key.startswith(b"auditfuse.")})
    try:
        yield f"{where}: the amount of a ledger entry gets another digit in front"
    finally:
        path.write_bytes(original)
        path.chmod(0o440)


def _a_ledger_entry(root: Path) -> tuple[Path, int]:
    """A row of a live segment: a file that was replaced stays for a while and no longer counts."""
    store = open_store(root)
    for topic_id, partition in store.partitions():
        for name in PartitionLog.open(store, topic_id, partition).state.live:
            path = Path(store.segment_location(topic_id, partition, name))
            for row, payload in enumerate(pq.read_table(path, columns=["payload"]).column(0).to_pylist()):
                if '"amount":' in payload:
                    return path, row
    raise LookupError("the store holds no ledger entry")
