"""`auditfuse silence add|list|end`: hold pages for a time, with an owner, a reason and an end."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.who import who

if TYPE_CHECKING:
    from pipeline.respond.config import RespondConfig
    from pipeline.respond.holds import Silence
    from pipeline.respond.state import StateDatabase

app = typer.Typer(help="Hold pages for a time; what is found is recorded all the same.", no_args_is_help=True)
ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Your name; by default the login name.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit store.")]
MS_PER_HOUR = 3_600_000


@app.command()
def add(
    *,
    reason: ReasonOption,
    agent: Annotated[str, typer.Option(help="The agents whose pages wait; a glob.")] = "*",
    detector: Annotated[str, typer.Option(help="The detectors whose pages wait; a glob.")] = "*",
    environment: Annotated[str, typer.Option(help="The environments whose pages wait; a glob.")] = "*",
    hours: Annotated[float | None, typer.Option(min=0.01, help="For so many hours.")] = None,
    until: Annotated[
        str | None, typer.Option(help="Until then, as 2026-03-01T18:00 (UTC, unless an offset is given).")
    ] = None,
    trips: Annotated[
        bool, typer.Option("--trips", help="Also hold critical pages about a trip of the kill switch.")
    ] = False,
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold the pages of some agents, detectors or environments. Findings and incidents are recorded.

    What is still open at the end is paged then. Critical pages about a trip go out all the same, unless
    --trips is given. Who silenced what, until when and why is sealed in the audit store.

    Examples:

      auditfuse silence add --agent invoice-agent --hours 2 --reason "month-end run"

      auditfuse silence add --detector latency --environment staging --until 2026-03-01T18:00 --reason "load"
    """
    from pipeline.clock import system_now_ms
    from pipeline.respond.silences import place_silence

    now_ms = system_now_ms()
    state, respond = _open(config, store)
    silence = place_silence(
        state,
        respond,
        agent=agent,
        detector=detector,
        environment=environment,
        until_ms=_until_ms(hours, until, now_ms),
        by=who(by),
        reason=_fit(reason, config, store),
        holds_trips=trips,
        now_ms=now_ms,
    )
    if as_json:
        typer.echo(json.dumps(_plain(silence)))
    else:
        typer.echo(f"{silence.silence_id} holds pages until {_time(silence.until_ms)}.")


@app.command("list")
def list_all(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the silences and maintenance windows that hold pages now.

    Examples:

      auditfuse silence list

      auditfuse silence list --all --json
    """
    from pipeline.clock import system_now_ms
    from pipeline.respond.silences import list_silences

    now_ms = system_now_ms()
    state, respond = _open(config, store)
    silences = list_silences(state, now_ms, everything=everything)
    windows = [window for window in respond.maintenance if window.is_active(now_ms)]
    if as_json:
        planned = [window.model_dump(mode="json") for window in windows]
        typer.echo(json.dumps({"silences": [_plain(one) for one in silences], "maintenance": planned}))
        return
    for window in windows:
        typer.echo(f"maintenance {window.name}, by {window.owner}: {window.reason}")
    _print(silences)
    if not silences and not windows:
        typer.echo("No page is held.")


@app.command()
def end(
    silence: Annotated[str, typer.Argument(help="The silence's id, sil_….")],
    *,
    reason: ReasonOption,
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence before its time: what is open is paged now.

    Example:

      auditfuse silence end sil_5f2c9a7e01bd --reason "the load test was called off"
    """
    from pipeline.clock import system_now_ms
    from pipeline.respond.silences import end_silence

    name, now_ms = who(by), system_now_ms()
    state, respond = _open(config, store)
    ended = end_silence(state, respond, silence, by=name, reason=_fit(reason, config, store), now_ms=now_ms)
    if as_json:
        typer.echo(json.dumps({**_plain(ended), "ended_at_ms": now_ms, "ended_by": name}))
    else:
        typer.echo(f"{ended.silence_id} is over; what is open is paged.")


def _open(config: Path | None, store: str | None) -> "tuple[StateDatabase, RespondConfig]":
    from pipeline.config import load_config
    from pipeline.respond.state import StateDatabase

    loaded = load_config(config, store=store)
    state = StateDatabase(loaded.state, loaded.respond)
    state.create_schema()
    return state, loaded.respond


def _fit(reason: str, config: Path | None, store: str | None) -> str:
    from pipeline.commands.reason import fit_reason
    from pipeline.config import load_config

    return fit_reason(load_config(config, store=store), reason)


def _until_ms(hours: float | None, until: str | None, now_ms: int) -> int:
    from pipeline.commands.times import time_ms
    from pipeline.errors import ConfigError

    if (hours is None) == (until is None):
        raise ConfigError("a silence needs an end: give --hours or --until, one of them")
    if hours is not None:
        return now_ms + int(hours * MS_PER_HOUR)
    return time_ms(until or "", "--until")


def _plain(silence: "Silence") -> dict[str, object]:
    import msgspec

    return msgspec.to_builtins(silence)


def _print(silences: "list[Silence]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not silences:
        return
    table = Table(
        "silence", "agent", "detector", "environment", "until", "trips too", "by", "reason", "ended by"
    )
    for one in silences:
        cells = (
            one.silence_id,
            one.agent,
            one.detector,
            one.environment,
            _time(one.until_ms),
            "yes" if one.holds_trips else "no",
            one.by,
            one.reason,
            one.ended_by or "",
        )
        table.add_row(*(Text(cell) for cell in cells))
    Console(width=None if Console().is_terminal else 200).print(table)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
