"""`auditfuse baseline accept`: what an agent does now is its new normal."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.options import ByOption, ConfigOption, JsonOption
from pipeline.commands.times import as_text
from pipeline.commands.who import who

if TYPE_CHECKING:
    from pipeline.config import Config
    from schemas.command import Command

app = typer.Typer(help="Tell the detectors what is normal.", no_args_is_help=True)


@app.callback()
def baseline() -> None:
    """Tell the detectors what is normal."""


@app.command()
def accept(
    agent: Annotated[str, typer.Argument(help="The agent, as it is stored.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")],
    by: ByOption = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="One environment; by default every one.")
    ] = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept what an agent does now as its new normal, after a change that was meant.

    In five minutes detectors forget what they learned of it and learn anew; until they have, floors and
    rules watch it alone. Sealed in the audit trail, so that a replay does the same.

    Examples:

      auditfuse baseline accept invoice-agent --reason "month-end batches moved to this agent"

      auditfuse baseline accept invoice-agent --environment prod --by maria --reason "release 2.0"
    """
    import json

    from pipeline.clock import system_now_ms
    from pipeline.commands.reason import fit_texts
    from pipeline.config import load_config
    from pipeline.detect.accepted import EFFECT_AFTER_MS
    from schemas.command import Command, Selector

    settings = load_config(config, store=store)
    said_by, why = fit_texts(settings, who(by), reason)
    command = Command(
        id="accept_" + secrets.token_hex(6),
        command="accept_baseline",
        at_ms=system_now_ms(),
        by=said_by,
        automatic=False,
        reason=why,
        selector=Selector(environment=environment, agent=agent),
    )
    _seal(settings, command)
    from_ms = command.at_ms + EFFECT_AFTER_MS
    if as_json:
        typer.echo(
            json.dumps({"id": command.id, "agent": agent, "environment": environment, "from_ms": from_ms})
        )
    else:
        typer.echo(f"From {as_text(from_ms)} UTC on, what {agent} does is learned anew ({command.id}).")


def _seal(settings: Config, command: Command) -> None:
    """Into the audit trail's own log, where the detectors read it."""
    from pipeline.audit.control import AppendLog, AppendRow
    from pipeline.audit.store import CONTROL, open_store
    from pipeline.audit.writer import new_writer_id
    from pipeline.clock import system_now_ms

    log = AppendLog(open_store(settings.store), CONTROL, writer_id=new_writer_id(), now_ms=system_now_ms)
    log.append([AppendRow.of(command)])
