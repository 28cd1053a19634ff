"""`auditfuse topics`: the Kafka topics of the configuration, made and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.topics.wanted import Complaint, WantedTopic

app = typer.Typer(help="Make and check the Kafka topics of the configuration.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The file; by default auditfuse.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def create(
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of topics for which any number will do.")
    ] = None,
    replication_factor: Annotated[
        int | None,
        typer.Option(min=1, help="Copies of each; by default three, or as many as there are brokers."),
    ] = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Make the topics that are missing, with the settings that they need, then check all of them.

    A topic that is there is left as it is. Exits with 1 if one is not as it must be.

    Example:

      auditfuse topics create --partitions 12
    """
    import asyncio

    from pipeline.topics.kafka_admin import create_topics

    settings, wanted = _wanted(config)
    made = asyncio.run(
        create_topics(settings.kafka, wanted, replicas=replication_factor, partitions=partitions)
    )
    _check(settings, wanted, made, as_json)


@app.command()
def check(config: ConfigOption = None, as_json: Json = False) -> None:
    """Check every topic that the configuration names: what is wrong, why it matters, what puts it right.

    Exits with 1 if a topic is missing or set so that something is lost or stands still.

    Example:

      auditfuse topics check --json
    """
    _check(*_wanted(config), [], as_json)


def _wanted(config: Path | None) -> tuple[Config, list[WantedTopic]]:
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.topics.wanted import wanted_topics

    settings = load_config(config)
    wanted = wanted_topics(settings)
    if not wanted:
        raise ConfigError("the configuration names no Kafka topic")
    return settings, wanted


def _check(settings: Config, wanted: Sequence[WantedTopic], made: Sequence[str], as_json: bool) -> None:
    import asyncio

    from pipeline.topics.kafka_admin import describe_topics
    from pipeline.topics.wanted import complaints

    found = asyncio.run(describe_topics(settings.kafka, [one.name for one in wanted]))
    bootstrap = settings.kafka.bootstrap_servers
    told = {one.name: list(complaints(one, found.get(one.name), bootstrap)) for one in wanted}
    if as_json:
        typer.echo(
            json.dumps(
                [
                    {
                        "topic": one.name,
                        "use": one.use,
                        "created": one.name in made,
                        "partitions": there.partitions if (there := found.get(one.name)) else None,
                        "complaints": [asdict(complaint) for complaint in told[one.name]],
                    }
                    for one in wanted
                ]
            )
        )
    else:
        for one in wanted:
            _say(one, told[one.name], is_new=one.name in made)
    if any(complaint.is_fatal for several in told.values() for complaint in several):
        raise typer.Exit(1)


def _say(wanted: WantedTopic, told: Sequence[Complaint], *, is_new: bool) -> None:
    state = "made" if is_new else "is as it should be" if not told else "needs a look"
    typer.echo(f"{wanted.name} ({wanted.use}): {state}")
    for one in told:
        level = "WRONG" if one.is_fatal else "warning"
        typer.echo(f"  {level}: {one.setting} is {one.found or 'not set'}, wanted {one.wanted}: {one.why}")
        typer.echo(f"    {one.command}")
