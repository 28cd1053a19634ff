"""Which store a command reads: `--store`, else the configuration's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.audit.store import Store

StoreOption = Annotated[
    str | None, typer.Option("--store", help="The audit store: a directory, or s3://bucket/prefix.")
]


def chosen_store(store: str | None, config: Path | None) -> Store:
    """The store that `--store` names, else the configuration's. Raises ConfigError."""
    from pipeline.audit.objects.s3_config import is_url
    from pipeline.audit.store import open_store

    if store is not None and not is_url(store):
        return open_store(Path(store))
    from pipeline.config import load_config

    return open_store(load_config(config, store=store).store)
