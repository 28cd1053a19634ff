"""`auditfuse catalog`: brings the catalog up to date, or copies it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.audit.store import Store


def catalog(
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    copy: Annotated[Path | None, typer.Option("--copy", help="Write a catalog to this new file.")] = None,
) -> None:
    """Build the DuckDB catalog if the store has grown, and print the newest one's path.

    The readers' copy, where the configuration asks for one, is brought up to date too; who may not read the
    store gets the path of that copy.

    Any DuckDB opens the file read-only. It is replaced by a newer one as the store grows and lives on
    for 15 minutes; a copy is yours to keep, as long as compaction leaves the files that it names.

    Examples:

      duckdb -readonly "$(auditfuse catalog)" -c "from incidents"

      auditfuse catalog --copy trail.duckdb
    """
    from pipeline.audit.catalog import Catalog, newest_catalog
    from pipeline.commands.chosen_catalog import readers_trail
    from pipeline.errors import StoreError

    if copy is None and (trail := readers_trail(store, config)):
        typer.echo(str(trail))
        return
    chosen = chosen_store(store, config)
    if copy is not None:
        chosen.require()
        Catalog(chosen).write_copy(copy)
        typer.echo(str(copy))
        return
    with newest_catalog(chosen) as path:
        if not path.is_relative_to(chosen.cache_dir):
            raise StoreError(f"the store at {chosen.name} cannot be written; use --copy FILE")
        typer.echo(str(path))
    if store is None:
        _refresh_readers(chosen, config)


def _refresh_readers(store: Store, config: Path | None) -> None:
    from pipeline.audit.readers.trail import ReadersTrail
    from pipeline.config import load_config

    loaded = load_config(config)
    if trail := ReadersTrail.of(store, loaded.readers, loaded.store):
        trail.refresh()
