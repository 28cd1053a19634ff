"""`auditfuse gap`: what a person decides about a partition that has halted."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.who import who

app = typer.Typer(help="Let a halted partition go on.", no_args_is_help=True)

Topic = Annotated[str, typer.Argument(help="Topic id, or the topic's name where only one id has it.")]
Partition = Annotated[int, typer.Argument(min=0, help="The partition's number.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; by default the system's user name.")]
Config = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_halted(config: Config = None, store: StoreOption = None, as_json: Json = False) -> None:
    """Show the partitions that wait for a person, and why.

    Example:

      auditfuse gap list
    """
    from pipeline.audit.gap import halted_partitions
    from pipeline.audit.store import open_store
    from pipeline.audit.writer import way_out
    from pipeline.config import load_config

    states = halted_partitions(open_store(load_config(config, store=store).store))
    if as_json:
        fields = ("topic_id", "partition", "end", "halted")
        typer.echo(json.dumps([{name: getattr(state, name) for name in fields} for state in states]))
        return
    for state in states:
        typer.echo(f"{state.topic_id}/{state.partition} stopped at offset {state.end}: {state.halted}")
        typer.echo(f"  {way_out(state)}")
    if not states:
        typer.echo("No partition is halted.")


@app.command()
def accept(
    topic: Topic,
    partition: Partition,
    *,
    to: Annotated[int, typer.Option("--to", min=1, help="The offset to go on at.")],
    reason: Reason,
    by: By = None,
    config: Config = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Give up the offsets between a halted partition's end and --to, and go on there.

    The decision becomes an entry of the partition's log: verify reports it for ever.

    Example:

      auditfuse gap accept agent-events 3 --to 41200 --reason "topic retention, incident 812" --by ana
    """
    from pipeline.audit.gap import accept_gap, find_topic_id
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.commands.reason import fit_reason
    from pipeline.config import load_config

    settings = load_config(config, store=store)
    audit_store = open_store(settings.store)
    reason = fit_reason(settings, reason)
    topic_id = find_topic_id(audit_store, topic, partition)
    accept_gap(audit_store, topic_id, partition, to=to, reason=reason, by=who(by), now_ms=system_now_ms)
    _report(topic_id, partition, to, as_json)


@app.command()
def resume(
    topic: Topic,
    partition: Partition,
    *,
    reason: Reason,
    by: By = None,
    config: Config = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Let a halted partition go on exactly where it stopped, once its cause is gone.

    Example:

      auditfuse gap resume agent-events 3 --reason "the broker's disk is back" --by ana
    """
    from pipeline.audit.gap import find_topic_id
    from pipeline.audit.gap import resume as resume_partition
    from pipeline.audit.store import open_store
    from pipeline.clock import system_now_ms
    from pipeline.commands.reason import fit_reason
    from pipeline.config import load_config

    settings = load_config(config, store=store)
    audit_store = open_store(settings.store)
    reason = fit_reason(settings, reason)
    topic_id = find_topic_id(audit_store, topic, partition)
    state = resume_partition(
        audit_store, topic_id, partition, reason=reason, by=who(by), now_ms=system_now_ms
    )
    _report(topic_id, partition, state.end, as_json)


def _report(topic_id: str, partition: int, end: int, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"topic_id": topic_id, "partition": partition, "end": end}))
    else:
        typer.echo(f"{topic_id}/{partition} goes on at offset {end}.")
