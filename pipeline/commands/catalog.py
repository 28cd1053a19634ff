"""`auditfuse catalog`: brings the catalog up to date, or copies it elsewhere."""

from pathlib import Path
from typing import Annotated

import typer


def catalog(
    store: Annotated[Path | None, typer.Option("--store", help="The store's directory.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    copy: Annotated[Path | None, typer.Option("--copy", help="Write a catalog to this new file.")] = None,
) -> None:
    """Build the DuckDB catalog if the store has grown, and print the newest one's path.

    Any DuckDB opens that file read-only. It is replaced by a newer one as the store grows and lives on
    for 15 minutes; a copy is yours to keep, as long as compaction leaves the files that it names.

    Examples:

      duckdb -readonly "$(auditfuse catalog)" -c "from incidents"

      auditfuse catalog --copy trail.duckdb
    """
    from pipeline.audit.catalog import Catalog, newest_catalog
    from pipeline.commands.store_path import store_path
    from pipeline.errors import StoreError

    root = store_path(store, config)
    if copy is not None:
        if not root.is_dir():
            raise StoreError(f"there is no store at {root}; give its directory with --store")
        Catalog(root).write_copy(copy)
        typer.echo(str(copy))
        return
    with newest_catalog(root) as path:
        if not path.is_relative_to(root.absolute()):
            raise StoreError(f"the store at {root} cannot be written; use --copy FILE")
        typer.echo(str(path))
