"""`auditfuse page test|preview`: does a page arrive, and what does it say?"""

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.respond.insight import Insight
    from pipeline.respond.sent import Sent

app = typer.Typer(help="Try the targets of pages, and see what a page says.", no_args_is_help=True)


@app.command()
def test(
    target: Annotated[str, typer.Argument(help="The target's name in the configuration, or console.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a sample page to one target and say whether it took it. With a sample plot, where it takes one.

    The attempt is kept in the state database, where there is one: auditfuse readiness looks for it.

    Examples:

      auditfuse page test console

      auditfuse page test oncall --config auditfuse.toml
    """
    from pipeline.clock import system_now_ms
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.respond.page import sample
    from pipeline.respond.pager import ApprisePager, takes_plot
    from pipeline.respond.plot_png import sample_plot

    loaded = load_config(config)
    respond = loaded.respond
    names = [configured.name for configured in respond.all_targets()]
    if target not in names:
        raise ConfigError(f"there is no page target {target}; configured are: {', '.join(names)}")
    configured = respond.target(target)
    wants_plot = configured is not None and configured.plot and takes_plot(configured.resolved_url())
    plot = sample_plot(system_now_ms()) if wants_plot else None
    page_id, started_ms = f"test/{secrets.token_hex(4)}", system_now_ms()
    sent = ApprisePager(respond).send(target, sample(page_id, started_ms, plot))
    _keep(loaded, page_id, target, sent, started_ms)
    if as_json:
        typer.echo(json.dumps({"target": target, "outcome": sent.outcome, "error": sent.error}))
    elif sent.outcome == "sent":
        typer.echo(f"{target} took the test page. Look whether a person can see it.")
    else:
        typer.echo(f"{target} did not take the test page: {sent.error}", err=True)
    if sent.outcome != "sent":
        raise typer.Exit(2 if sent.outcome == "misconfigured" else 1)


def _keep(config: "Config", page_id: str, target: str, sent: "Sent", started_ms: int) -> None:
    """Record the attempt, where there is a state database already: trying a target makes none."""
    from pipeline.clock import system_now_ms
    from pipeline.errors import AuditfuseError
    from pipeline.respond.attempts import record_delivery
    from pipeline.respond.engine import sqlite_file
    from pipeline.respond.state import StateDatabase

    file = sqlite_file(config.state)
    if file is not None and not file.exists():
        return
    now_ms, attempted = system_now_ms(), (page_id, target, 1)
    state = StateDatabase(config.state.model_copy(update={"retry_for_ms": 2_000}), config.respond)
    try:
        state.write(lambda c: record_delivery(c, attempted, sent, now_ms, now_ms - started_ms))
    except AuditfuseError as error:
        typer.echo(f"The attempt is not kept: {error}", err=True)
    finally:
        state.close()


@app.command()
def preview(
    incident: Annotated[str, typer.Argument(help="The incident's id, inc_….")],
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw its plot into this file: .png (Matplotlib) or .svg.")
    ] = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print an incident's page as it would be sent now. Sends nothing, and makes no link for a person.

    Examples:

      auditfuse page preview inc_0f3c5a7e9b1d2f4a6c8e0b1d-1

      auditfuse page preview inc_0f3c5a7e9b1d2f4a6c8e0b1d-1 --json --plot page.png
    """
    from pipeline.commands.incident_look import look_at

    looked = look_at(incident, config, store)
    insight = looked.insight(is_quiet=as_json)
    page = looked.page(insight)
    if plot is not None:
        _draw(plot, page.title, insight)
    if as_json:
        shown = {name: getattr(page, name) for name in ("page_id", "dedup_key", "severity", "title", "body")}
        typer.echo(json.dumps({**shown, "plot": str(plot) if plot else None}))
    else:
        typer.echo(f"{page.title}\n\n{page.body}")


def _draw(file: Path, title: str, insight: "Insight | None") -> None:
    from pipeline.errors import ConfigError
    from pipeline.respond import plot_png, plot_svg
    from pipeline.respond.moments import marks_of

    if insight is None or insight.series is None:
        raise ConfigError("there is nothing to draw: no event that the finding speaks of is in the store")
    marks = marks_of(insight)
    if file.suffix == ".svg":
        content = plot_svg.draw(insight.series, marks, is_file=True).encode()
    elif file.suffix == ".png":
        drawn = plot_png.draw(insight.series, title[:100], marks)
        if drawn is None:
            raise ConfigError("a .png needs Matplotlib: pip install 'auditfuse[plots]', or name a .svg file")
        content = drawn
    else:
        raise ConfigError(f"--plot {file}: name a .png or a .svg file")
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from None
