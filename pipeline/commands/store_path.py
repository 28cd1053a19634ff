"""Which store a command reads: `--store`, else the configuration's."""

from pathlib import Path


def store_path(store: Path | None, config: Path | None) -> Path:
    """The store's directory. Raises ConfigError."""
    if store is not None:
        return store
    from pipeline.config import load_config

    return load_config(config).store.path
