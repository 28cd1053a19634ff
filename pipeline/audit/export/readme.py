"""The README of an export, filled in with what is in the folder."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.audit.export.run import Manifest


def readme(manifest: Manifest) -> str:
    """The page for whoever opens the folder."""
    template = files("pipeline.audit.export").joinpath("folder", "README.md").read_text(encoding="utf-8")
    keys = [f"| signed by | `{key}` |" for key in manifest.keys]
    return Template(template).substitute(
        scope=_scope(manifest),
        rows=f"{manifest.rows:,}",
        erased_rows=f"{manifest.erased_rows:,}",
        payloads="shown" if manifest.with_payload else "withheld: their commitments are here",
        segments=f"{manifest.segments:,}",
        checkpoint=manifest.checkpoint,
        size=f"{manifest.size:,}",
        origin=manifest.origin,
        checkpoint_at="not said" if manifest.checkpoint_at_ms is None else utc(manifest.checkpoint_at_ms),
        keys="\n".join(keys),
    )


def utc(at_ms: int) -> str:
    """A time as people and ISO 8601 write it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _scope(manifest: Manifest) -> str:
    selection = manifest.selection
    of = [
        f"{what} `{value}`"
        for what, value in (("agent", selection.agent), ("environment", selection.environment))
        if value is not None
    ]
    who = f" of {' in '.join(of)}" if of else ""
    return (
        f"Rows{who} from {utc(selection.from_ms)} up to, not including, {utc(selection.to_ms)}, out of the "
        f"audit trail of `{manifest.origin}`. Events count by the end of their span, messages that could not "
        "become events by the time of the broker, commands, findings and incidents by the time they state."
    )
