"""`auditfuse checkpoint`: make, list, show and compare signed statements of what the store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.audit.checkpoint.statement import Checkpoint

app = typer.Typer(
    help="Signed statements of what the store holds, and copies of them elsewhere.", no_args_is_help=True
)

Config = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def now(config: Config = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Sign what the store holds at this moment, and send it to every anchor.

    Works beside a running auditfuse and without one. Exits with 1 if an anchor did not take it.

    Examples:

      auditfuse checkpoint now

      auditfuse checkpoint now --store /srv/audit --json
    """
    from pipeline.audit.checkpoint.runner import checkpoint_now
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.errors import StoreError
    from pipeline.logs import LogConfig, configure_logs

    loaded = load_config(config, store=store)
    configure_logs(LogConfig(format=loaded.log.format, level="warning"))
    audit_store = open_store(loaded.store)
    audit_store.require()
    done, sent = checkpoint_now(
        audit_store, loaded.checkpoint, loaded.keys.path, loaded.kafka, now_ms=system_now_ms
    )
    if done.newest is None:
        raise StoreError(f"there is nothing to sign in {audit_store.name}: no partition has a log yet")
    if as_json:
        _print_json(
            {**_as_fields(done.newest), "batches": done.batches, "leaves": done.leaves, "anchors": sent}
        )
    else:
        _tell(done.newest, done.leaves, sent)
    if any(sent.values()):
        raise typer.Exit(1)


@app.command("list")
def list_checkpoints(config: Config = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Show every checkpoint: size, root, time, and who signed it. Nothing is verified.

    Examples:

      auditfuse checkpoint list

      auditfuse checkpoint list --json
    """
    from pipeline.audit.checkpoint.archive import checkpoint_names, read_checkpoint

    chosen = chosen_store(store, config)
    chosen.require()
    named = ((name, read_checkpoint(chosen, name)) for name in checkpoint_names(chosen))
    if as_json:
        _print_json([{"file": name, **_as_fields(checkpoint)} for name, checkpoint in named])
        return
    count = 0
    for _, checkpoint in named:
        count += 1
        typer.echo(_as_line(checkpoint))
    if not count:
        typer.echo("There is no checkpoint yet; make one with: auditfuse checkpoint now")


@app.command()
def show(
    size: Annotated[int | None, typer.Argument(min=1, help="Its size; by default the newest.")] = None,
    config: Config = None,
    store: StoreOption = None,
) -> None:
    """Print one checkpoint as it is signed, to keep it elsewhere.

    Examples:

      auditfuse checkpoint show

      auditfuse checkpoint show 41200 > kept-elsewhere.note
    """
    from pipeline.audit.checkpoint.archive import find_checkpoint

    chosen = chosen_store(store, config)
    chosen.require()
    typer.echo(find_checkpoint(chosen, size).note.encode(), nl=False)


@app.command()
def consistency(
    old: Annotated[str, typer.Argument(help="The earlier checkpoint: its size, or a file of its note.")],
    new: Annotated[str, typer.Argument(help="The later one.")],
    config: Config = None,
    store: StoreOption = None,
) -> None:
    """Prove that the later checkpoint only adds to the earlier one: print the proof, and check it.

    The proof (RFC 6962) convinces whoever has both notes, without the store. Exits with 1 if there is none,
    which means that the two are of different histories.

    Examples:

      auditfuse checkpoint consistency 12000 41200

      auditfuse checkpoint consistency kept-elsewhere.note 41200
    """
    from pipeline.audit.checkpoint.archive import named_checkpoint, prove_consistency

    chosen = chosen_store(store, config)
    chosen.require()
    proof = prove_consistency(chosen, named_checkpoint(chosen, old), named_checkpoint(chosen, new))
    _print_json(proof)
    if not proof["consistent"]:
        raise typer.Exit(1)


@app.command("add-signature")
def add_signature(
    file: Annotated[Path, typer.Argument(help="The note as it came back, with the witness's signature.")],
    witness: Annotated[
        list[str] | None, typer.Option("--witness", help="The witness's public key, or a file of it.")
    ] = None,
    config: Config = None,
    store: StoreOption = None,
) -> None:
    """Keep a witness's signature: the note with it becomes another file beside the store's own.

    Without --witness the signature is kept as it is, unchecked.

    Example:

      auditfuse checkpoint add-signature cosigned.note --witness witness.pub
    """
    from pipeline.audit.checkpoint.archive import add_signatures

    chosen = chosen_store(store, config)
    chosen.require()
    typer.echo(add_signatures(chosen, file, witness or []))


def _as_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    statement = checkpoint.statement
    return {
        "origin": statement.origin,
        "size": statement.size,
        "root": statement.root.hex(),
        "at_ms": statement.at_ms,
        "signatures": [{"name": one.name, "key_id": one.key_id.hex()} for one in checkpoint.note.signatures],
    }


def _as_line(checkpoint: Checkpoint) -> str:
    from pipeline.audit.verify.covered import utc

    statement = checkpoint.statement
    signers = ", ".join(f"{one.name}+{one.key_id.hex()}" for one in checkpoint.note.signatures)
    return f"{statement.size:>12,} entries  {utc(statement.at_ms)}  {statement.root.hex()[:16]}  {signers}"


def _tell(checkpoint: Checkpoint, leaves: int, sent: dict[str, str | None]) -> None:
    typer.echo(_as_line(checkpoint))
    typer.echo(f"{leaves:,} log entries were added to the tree." if leaves else "Nothing was logged since.")
    for name, wrong in sent.items():
        typer.echo(f"anchor {name}: {wrong or 'has it'}", err=wrong is not None)
    if not sent:
        typer.echo("No anchor is configured: keep a copy outside the store, or nothing shows a cut tail.")


def _print_json(document: object) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
