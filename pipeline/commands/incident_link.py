"""`auditfuse incidents link`: a link by which one person can answer an incident, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.chosen_store import StoreOption


def link(
    incident: Annotated[str, typer.Argument(help="The incident's id.")],
    person: Annotated[str, typer.Option("--for", help="Who is to answer by it: their name is recorded.")],
    hours: Annotated[
        float | None,
        typer.Option("--hours", min=0.01, max=168, help="How long; by default respond.link_valid_s."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")
    ] = None,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a one-time link to an incident's page, bound to a person.

    Looking uses nothing up. The first answer given by it does, and begins a session of an hour for this
    incident
    on that device. It may take the incident on, resolve it, trip, step down and ask for a reset; it never
    approves one. Whoever has the link answers in that person's name: send it to them alone.

    Example:

      auditfuse incidents link inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --for maria
    """
    from pipeline.clock import system_now_ms
    from pipeline.commands.incident_look import look_at
    from pipeline.errors import ConfigError
    from pipeline.respond.public_url import incident_url
    from pipeline.web.mount import new_links
    from pipeline.web.visitors import MAX_NAME_CHARS

    name = person.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise ConfigError(f"--for needs a name of at most {MAX_NAME_CHARS} printable characters")
    looked = look_at(incident, config, store)
    if looked.config.respond.public_url is None:
        raise ConfigError("respond.public_url is not set: where do people reach the control server?")
    valid_s = looked.config.respond.link_valid_s if hours is None else hours * 3600
    now_ms = system_now_ms()
    secret = new_links(looked.config, looked.state).create(incident, name, now_ms, valid_s)
    url = incident_url(looked.config.respond.public_url, incident, secret)
    if as_json:
        typer.echo(json.dumps({"url": url, "person": name, "expires_ms": now_ms + int(valid_s * 1000)}))
    else:
        typer.echo(url)
