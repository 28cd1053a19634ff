"""`auditfuse erase`: take data out of the store, and out of every copy in reach."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from pipeline.audit.erase.run import Eraser, Outcome, Request
    from pipeline.config import Config
    from schemas.erasure import Erasure

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="KEY=VALUE: topic, environment, agent, trace, session, end-user (a pseudonym), from, to. "
        "Repeat it: rows match all of them together.",
    ),
]
ValueFile = Annotated[
    Path | None,
    typer.Option("--value-file", help="A file with one raw value a line (a name, an e-mail …); - is stdin."),
]

Rows = Annotated[
    bool,
    typer.Option("--rows", help="With --value-file: whole rows, where the payload alone holds it too."),
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", help="Go on with the erasure of that id: give what was asked again."),
]


def erase(
    *,
    where: Where = None,
    value_file: ValueFile = None,
    payload_only: Annotated[bool, typer.Option("--payload-only", help="Take payloads alone.")] = False,
    rows: Rows = False,
    by: Annotated[str | None, typer.Option("--by", help="Who asks for it; kept in the audit trail.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept in the audit trail.")] = None,
    execute: Annotated[
        bool, typer.Option("--execute", "--yes", help="Erase; without it nothing is changed.")
    ] = False,
    resume: Resume = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the erasures of this store.")] = False,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase one person, a trace, a session, an agent or a range of time. First look, then --execute.

    Without --execute it tells what would go, what a legal hold keeps and what is out of reach. The trail goes
    on to verify, and says by whom, when and how much was erased, never whom it was about. A value is looked
    for by its pseudonyms under every kept key and as it is; rows whose metadata holds it go whole, others
    lose their payload. Exits with 1 if a copy is out of reach, held or still in force.

    Examples:

      auditfuse erase --value-file person.txt

      auditfuse erase --value-file person.txt --by "Ana Diaz, DPO" --reason "GDPR request 4711" --execute

      auditfuse erase --where agent=billing-bot --where to=2025-01-01 --payload-only
    """
    from pipeline.config import load_config
    from pipeline.errors import ConfigError

    settings = load_config(config, store=store)
    eraser = eraser_of(settings)
    if listed:
        _show_list(eraser.all(), as_json)
        return
    if payload_only and rows:
        raise ConfigError("--payload-only and --rows exclude each other")
    if execute and not (by and reason) and resume is None:
        raise ConfigError("--execute needs --by and --reason: they are kept in the audit trail")
    what = "payload" if payload_only else "where_found" if value_file and not rows else "row"
    request = _request(settings, where or [], value_file, what, by or "", reason or "")
    outcome = _outcome(eraser, request, execute, resume, as_json)
    _report(request, outcome, execute or resume is not None, as_json)
    if outcome.reached.out_of_reach or outcome.total.held or outcome.total.in_force:
        raise typer.Exit(1)


def eraser_of(settings: Config) -> Eraser:
    """What erases in the configured store and its copies. Raises ConfigError, StoreError."""
    from pipeline.audit.erase.reach import Copies
    from pipeline.audit.erase.run import Eraser
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.keys import Keys

    store = open_store(settings.store)
    store.require()
    copies = Copies(store, settings, now_ms=system_now_ms)
    return Eraser(
        store, Keys(settings.keys.path), copies, now_ms=system_now_ms, grace_s=settings.erasure.grace_s
    )


def _outcome(eraser: Eraser, request: Request, execute: bool, resume: str | None, as_json: bool) -> Outcome:
    with _busy("Erasing" if execute or resume is not None else "Looking through the store", as_json):
        if resume is not None:
            return eraser.resume(request, resume)
        return eraser.execute(request) if execute else eraser.survey(request)


def _busy(what: str, as_json: bool) -> AbstractContextManager[object]:
    """On a terminal, a sign that it is at work: nobody can tell how much is left before it has looked."""
    if as_json or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"{what} …")


def _request(
    settings: Config, where: list[str], value_file: Path | None, what: Any, by: str, reason: str
) -> Request:
    from pipeline.audit.erase.run import Request
    from pipeline.audit.erase.scope import Predicate, parse_scope
    from pipeline.audit.erase.values import needles, read_values
    from pipeline.commands.reason import fit_texts
    from pipeline.errors import ConfigError
    from pipeline.keys import Keys

    values: list[str] = []
    if value_file is not None:
        values, warning = read_values(value_file)
        if warning:
            typer.echo(f"warning: {warning}", err=True)
    elif not where:
        raise ConfigError("say what to erase: --where KEY=VALUE or --value-file FILE")
    by, reason = fit_texts(settings, by, reason) if by or reason else (by, reason)
    predicate = Predicate(scope=parse_scope(where), values=values, what=what)
    return Request(
        predicate=predicate,
        needles=needles(values, settings.redaction, Keys(settings.keys.path)) if values else None,
        by=by,
        reason=reason,
    )


def _report(request: Request, outcome: Outcome, execute: bool, as_json: bool) -> None:
    document = _document(request, outcome, execute)
    if as_json:
        typer.echo(json.dumps(document))
        return
    verb = "Erased" if execute else "Would erase"
    total = outcome.total
    typer.echo(f"{verb} {outcome.rows} rows and {outcome.payloads} further payloads.")
    for place in document["partitions"]:
        typer.echo(
            f"  {place['topic_id']}/{place['partition']}: {place['rows']} rows, {place['payloads']} payloads"
        )
    for agent, count in total.agents.most_common(20):
        typer.echo(f"  agent {agent or '(none)'}: {count}")
    if request.needles and request.needles.name_variants:
        typer.echo("Names were looked for as below; people write them in other ways too:")
        typer.echo("  " + "; ".join(request.needles.name_variants))
    if total.held:
        typer.echo(f"Left by a legal hold: {total.held} rows. See: auditfuse hold list")
    if total.in_force:
        typer.echo(f"Left since a trip or a hold in force rests on them: {total.in_force} rows of _control.")
    for done in outcome.reached.done:
        typer.echo(f"Done: {done}.")
    for missed in outcome.reached.out_of_reach:
        typer.echo(f"Out of reach: {missed}.")
    typer.echo(
        "Unknown to auditfuse: backups and copies of the store, exports and proofs that were handed out, "
        "results of queries; list those that last in [erasure] further_copies."
    )
    if execute:
        typer.echo(f"Erasure {outcome.erasure}; salt of what was asked: {document['salt']}")
    else:
        typer.echo("Nothing was changed. To erase, add: --by NAME --reason TEXT --execute")


def _document(request: Request, outcome: Outcome, execute: bool) -> dict[str, Any]:
    total = outcome.total
    return {
        "erasure": outcome.erasure,
        "executed": execute,
        "rows": outcome.rows,
        "payloads": outcome.payloads,
        "held_rows": total.held,
        "in_force_rows": total.in_force,
        "left_in_metadata": total.left_in_meta,
        "agents": dict(total.agents.most_common()),
        "partitions": [
            {
                "topic_id": topic_id,
                "partition": partition,
                "rows": c.rows,
                "payloads": c.payloads,
                "held": c.held,
            }
            for (topic_id, partition), c in outcome.counts.items()
            if c.rows or c.payloads or c.held or c.in_force
        ],
        "name_variants": list(request.needles.name_variants) if request.needles else [],
        "done": outcome.reached.done,
        "out_of_reach": outcome.reached.out_of_reach,
        "salt": outcome.salt,
    }


def _show_list(erasures: list[dict[str, Erasure]], as_json: bool) -> None:
    import msgspec

    if as_json:
        typer.echo(msgspec.json.encode(erasures).decode())
        return
    from datetime import UTC, datetime

    for phases in erasures:
        intent, completion = phases["intent"], phases.get("completion")
        at = f"{datetime.fromtimestamp(intent.at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        end = f"{completion.rows} rows, {completion.payloads} payloads" if completion else "NOT COMPLETED"
        typer.echo(f"{intent.erasure}  {at}  by {intent.by}: {intent.reason}  [{end}]")
    if not erasures:
        typer.echo("Nothing was erased from this store.")
