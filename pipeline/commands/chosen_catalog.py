"""Which catalog a command queries: a file, the store's, or the readers' copy where the store is closed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import chosen_store

if TYPE_CHECKING:
    from pipeline.audit.query import Query
    from pipeline.config import Config

CatalogOption = Annotated[
    Path | None,
    typer.Option("--catalog", help="A catalog file: a copy, or the readers' trail.duckdb."),
]


@contextlib.contextmanager
def chosen_catalog(store: str | None, config: Path | None, catalog: Path | None) -> Generator[Query]:
    """The catalog that the options mean, open for reading. Raises ConfigError, StoreError."""
    from pipeline.audit.query import open_catalog, open_file
    from pipeline.errors import ConfigError

    if catalog is not None and store is not None:
        raise ConfigError("--catalog and --store name two things to query; give one of them")
    file = catalog or readers_trail(store, config)
    with open_file(file) if file else open_catalog(chosen_store(store, config)) as query:
        yield query


def readers_trail(store: str | None, config: Path | None) -> Path | None:
    """The readers' copy, where the configuration has one and its store may not be read by who asks.

    Says so on standard error: what it shows has no payloads, and may be some seconds old.
    """
    from pipeline.audit.readers.trail import TRAIL
    from pipeline.config import load_config

    if store is not None:
        return None
    loaded = load_config(config)
    if loaded.readers.path is None or _may_read(loaded):
        return None
    typer.echo("The store is closed to this account: this is the readers' copy, without payloads.", err=True)
    return loaded.readers.path / TRAIL


def _may_read(config: Config) -> bool:
    """Whether the store can be read, or is not there at all and so is no question of rights."""
    place = config.store.local_directory
    try:
        return not place.exists() or os.access(place, os.R_OK | os.X_OK)
    except PermissionError:
        return False
