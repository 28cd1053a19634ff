"""What the tests of a store on S3 ask it."""

from pathlib import Path

from pipeline.audit.log import PartitionLog
from pipeline.audit.query import open_catalog
from pipeline.audit.store import Store


def count(store: Store, query: str = "SELECT count(*) FROM events") -> int:
    """The one value that a query gives, through the catalog."""
    with open_catalog(store) as catalog:
        return next(result.fetchall()[0][0] for result in catalog.run(query))


def copies(store: Store) -> list[Path]:
    """The segments that this machine has copied."""
    return sorted((store.cache_dir / "segments").glob("*/*/*.parquet"))


def live(store: Store) -> set[str]:
    """The names of the live segments of all partitions."""
    return {name for one in store.partitions() for name in PartitionLog.open(store, *one).state.live}
