"""pyarrow for the strict type checker: it ships no types, so all that comes from it is `Any`, said once."""

from typing import Any, TypeAlias

import pyarrow
import pyarrow.compute
import pyarrow.parquet

pa: Any = pyarrow
pc: Any = pyarrow.compute
pq: Any = pyarrow.parquet

Array: TypeAlias = Any
DataType: TypeAlias = Any
Field: TypeAlias = Any
ParquetFile: TypeAlias = Any
ParquetWriter: TypeAlias = Any
Schema: TypeAlias = Any
Table: TypeAlias = Any
