"""`auditfuse incidents export`: the evidence bundle for the post-mortem."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption


def export(
    incident: Annotated[str, typer.Argument(help="The incident's id.")],
    out: Annotated[Path, typer.Option("--out", help="The ZIP file to write.")],
    payload: Annotated[
        bool,
        typer.Option(
            "--with-payload/--without-payload", help="Take input, output and attributes of the events along."
        ),
    ] = True,
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write all that an incident rests on to one archive: events, proofs, findings, plot, timeline, and
    templates of a message and of a back-out checklist, filled in.

    As long as nothing of it has changed, the bytes are the same. What no signed checkpoint covers yet is in
    the
    archive without a proof, and is told.

    Example:

      auditfuse incidents export inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --out incident.zip
    """
    from pipeline.audit.checkpoint.key import trusted_keys
    from pipeline.commands.incident_look import look_at
    from pipeline.respond.evidence.bundle import build

    looked = look_at(incident, config, store)
    keys = trusted_keys(looked.config.checkpoint, looked.config.keys.path)
    bundle = build(looked.store, looked.detail, keys, looked.config.detect.hash, with_payload=payload)
    _write(out, bundle.content)
    if as_json:
        facts = {"events": bundle.events, "events_cut": bundle.is_cut, "unproved": bundle.unproved}
        typer.echo(json.dumps({"out": str(out), "bytes": len(bundle.content), **facts}))
        return
    more = ", the first of more" if bundle.is_cut else ""
    typer.echo(f"{out}: {bundle.events:,} events{more}, with proofs, timeline and templates.")
    if bundle.unproved:
        typer.echo(f"Not proved: {bundle.unproved}", err=True)


def _write(out: Path, content: bytes) -> None:
    """The whole file or none. Raises ConfigError."""
    from pipeline.errors import ConfigError

    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
