"""`auditfuse detector`: what detects, and whether detectors of one's own do what their cases say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from pipeline.detect.snapshots import Folder

app = typer.Typer(help="List detectors, and test those of your own.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_(
    agent: Annotated[
        str | None, typer.Option("--agent", help="Show how far each statistic is in learning this agent.")
    ] = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every detector of the configuration: its kind and severity, and whether it looks.

    A detector is off where its section says so, and where it needs rules of the policy and there are none.
    With --agent: which statistics have learned that agent, since when the others learn and until when at the
    earliest, as of detection's newest snapshot in the store. Floors and rules watch from the first event.

    Examples:

      auditfuse detector list

      auditfuse detector list --agent invoice-agent

      auditfuse detector list --json | jq '.[] | select(.looks | not)'
    """
    from pipeline.config import load_config
    from pipeline.detect.listing import listed

    if agent is not None:
        _list_learning(agent, config, store, as_json=as_json)
        return
    rows = [row._asdict() for row in listed(load_config(config).detect)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _table(rows)


@app.command()
def test(
    module: Annotated[str, typer.Argument(help="A file that ends in .py, or a name that can be imported.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the own cases of a module's detectors through detection as it runs live, and say which fail.

    Settings are those of detect.own.NAME where --config is given, else the detectors' defaults. Exits with
    1 if a case fails, or if a detector has no case that fires or none that stays quiet; with 2 if the module
    cannot be loaded.

    Examples:

      auditfuse detector test my_detectors.py

      auditfuse detector test my_detectors.py --json | jq .failures
    """
    from pipeline.config import load_config
    from pipeline.detect.cases import failures_of
    from pipeline.detect.config import DetectConfig
    from pipeline.detect.own import own_detectors

    own = load_config(config).detect.own if config is not None else {}
    settings = DetectConfig(modules=(module,))
    detectors = own_detectors(settings.module_digests)
    sections = {detector.name: own.get(detector.name, {}) for detector in detectors}
    settings = settings.model_copy(update={"own": _turned_on(sections)})
    failures = [failure for detector in detectors for failure in failures_of(detector, settings)]
    cases = sum(len(detector.cases) for detector in detectors)
    failed = len({failure[:2] for failure in failures if failure.case is not None})
    if as_json:
        names = [detector.name for detector in detectors]
        found = [failure._asdict() for failure in failures]
        typer.echo(json.dumps({"detectors": names, "cases": cases, "failures": found}, indent=2))
    else:
        for failure in failures:
            typer.echo(": ".join(part for part in failure if part))
        typer.echo(f"{cases - failed} of {cases} cases of {len(detectors)} detectors hold.")
    if failures:
        raise typer.Exit(1)


def _list_learning(agent: str, config: Path | None, store: str | None, *, as_json: bool) -> None:
    from pipeline.config import load_config
    from pipeline.detect.learning import learning_of_agent

    loaded, chosen = load_config(config), chosen_store(store, config)
    folders: list[Folder] = []
    if loaded.signals.topic is not None:
        from pipeline.signals_topic.snapshot_folder import folders_of_agents

        folders = folders_of_agents(chosen, loaded.signals.partitions)
    told = learning_of_agent(chosen.cache_dir / "snapshots", loaded.detect, agent, folders)
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in told], indent=2))
        return
    for one in told:
        where = f"{one.environment}/{agent}" + (f" ({one.via})" if one.via else "")
        typer.echo(f"{where}  {one.detector:<16} {one.status}")


def _turned_on(own: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A detector that is off can be tested too."""
    return {name: {key: value for key, value in s.items() if key != "enabled"} for name, s in own.items()}


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("detector", "kind", "severity", "looks", "learning", "from"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        looks = "no" if not row["looks"] else "shadow" if row["shadow"] else "yes"
        why = f" ({row['why_not']})" if row["why_not"] else ""
        cells = (row["name"], row["kind"], row["severity"], looks + why, row["learning"] or "", row["origin"])
        table.add_row(*(Text(cell) for cell in cells))
    Console(width=None if Console().is_terminal else 160, highlight=False).print(table)
