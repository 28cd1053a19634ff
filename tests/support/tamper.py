"""An attacker with write access to the store's files, for the golden cases of verification."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from support.audit import TOPIC_ID

VERIFY_SQL = Path(__file__).resolve().parents[2] / "docs" / "verify.sql"
Columns = dict[str, list[Any]]


def segment_paths(root: Path, topic_id: str = TOPIC_ID, partition: int = 0) -> list[Path]:
    return sorted((root / "segments" / topic_id / str(partition)).glob("*.parquet"))


def entry_paths(root: Path, topic_id: str = TOPIC_ID, partition: int = 0) -> list[Path]:
    return sorted((root / "log" / topic_id / str(partition)).glob("*.json"))


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o640)
    path.write_bytes(content)


def rewrite_rows(path: Path, change: Callable[[Columns], Columns | None]) -> None:
    """Change a segment's rows, column lists by name, and leave its footer and name as they were."""
    table = pq.ParquetFile(path).read()
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}
    changed = change(columns) or columns
    rewritten = pa.table({name: pa.array(changed[name], table.schema.field(name).type) for name in changed})
    rewritten = rewritten.cast(table.schema)
    path.chmod(0o640)
    pq.write_table(rewritten.replace_schema_metadata(table.schema.metadata), path, write_page_checksum=True)


def set_value(column: str, row: int, value: Any) -> Callable[[Columns], None]:
    """Set one value; a function of the old one where `value` is callable."""

    def change(columns: Columns) -> None:
        columns[column][row] = value(columns[column][row]) if callable(value) else value

    return change


def reorder(order: list[int]) -> Callable[[Columns], Columns]:
    """Keep the rows with these indexes, in this order; an index may repeat or be left out."""
    return lambda columns: {name: [values[i] for i in order] for name, values in columns.items()}


def sha256_hex(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def faults_by_sql(root: Path) -> list[tuple[Any, ...]]:
    """What docs/verify.sql returns, run by DuckDB alone; an error of DuckDB's counts as found."""
    with duckdb.connect() as connection:
        quoted = str(root).replace("'", "''")
        connection.execute(f"SET VARIABLE store = '{quoted}'")
        return connection.execute(VERIFY_SQL.read_text()).fetchall()
