"""`auditfuse keys`: the keys that sign checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption

app = typer.Typer(help="The keys that sign checkpoints.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The log's name, such as audit.example.com/agents.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The private key's file, outside the store.")
    ] = None,
    config: Config = None,
    store: StoreOption = None,
) -> None:
    """Make a key that signs checkpoints, and print its public half.

    The private key goes to a file that only you can read, by default where `auditfuse run` looks for it;
    nothing is overwritten. Give the public key (also beside it, in a .pub file) to whoever verifies.
    A further key of the same log has the same name.

    Examples:

      auditfuse keys new audit.example.com/agents

      auditfuse keys new audit.example.com/agents --out /etc/auditfuse/checkpoint-2027.key
    """
    from pipeline.audit.checkpoint.key import DEFAULT_FILE, new_key, save_key
    from pipeline.config import load_config

    loaded = load_config(config, store=store)
    path = out or loaded.keys.path / DEFAULT_FILE
    key = new_key(name)
    save_key(key, path, loaded.store.local_directory)
    typer.echo(str(key.public))
    typer.echo(f"The private key is in {path}; keep a copy in a safe place.", err=True)


@app.command()
def show(config: Config = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Print the public keys: those that sign now, then those that are trusted from earlier.

    Example:

      auditfuse keys show
    """
    import json

    from pipeline.audit.checkpoint.key import present_keys, trusted_keys
    from pipeline.config import load_config
    from pipeline.errors import ConfigError

    loaded = load_config(config, store=store)
    signing = [key.public for key in present_keys(loaded.checkpoint, loaded.keys.path)]
    trusted = trusted_keys(loaded.checkpoint, loaded.keys.path)
    if as_json:
        fields = [
            {"name": key.name, "id": key.key_id.hex(), "key": str(key), "signs": key in signing}
            for key in trusted
        ]
        typer.echo(json.dumps(fields))
        return
    if not trusted:
        raise ConfigError(
            f"there is no key in {loaded.keys.path} yet: auditfuse run makes one, or auditfuse keys new NAME"
        )
    for key in trusted:
        typer.echo(str(key))
