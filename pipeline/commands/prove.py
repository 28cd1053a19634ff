"""`auditfuse prove`: a proof that rows stand in the audit trail, for someone who has no access to it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store


def prove(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TRACE_ID|SPAN_ID|POSITION",
            help="Every row of a trace or span; or of a position, TOPIC_ID/PARTITION/OFFSET or "
            "TOPIC_ID/PARTITION/OFFSET/ITEM, the only name that erased rows still have.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; by default standard output.")
    ] = None,
    payload: Annotated[
        bool,
        typer.Option(
            "--with-payload/--without-payload",
            help="Show input, output and attributes, or prove the same rows without showing them.",
        ),
    ] = True,
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
) -> None:
    """Write a self-contained JSON proof that rows stand in the audit trail, unchanged since they were sealed.

    It holds the rows, the log entries that published them, and the newest signed checkpoint over those;
    `auditfuse verify --proof` or the short script in docs/proofs.md checks it with the public key alone.
    It goes on to hold after compaction and after erasure: who has the proof keeps what it shows.
    Exits with 1 where there is no such row, or no checkpoint covers it yet.

    Examples:

      auditfuse prove 4bf92f3577b34da6a3ce929d0e0e4736 --out proof.json

      auditfuse prove 00f067aa0ba902b7 --without-payload > proof.json
    """
    from pipeline.audit.proof.prove import prove as pieces_of

    pieces = pieces_of(chosen_store(store, config), target, with_payload=payload)
    if out is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
    else:
        _write(out, pieces)
        typer.echo(
            f"The proof is in {out}; it is checked with auditfuse verify --proof {out} --key KEY", err=True
        )


def _write(out: Path, pieces: Iterator[bytes]) -> None:
    """The whole file or none: a proof that was cut would only say that it does not hold."""
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        unfinished.replace(out)
    finally:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
