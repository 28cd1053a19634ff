"""`auditfuse replay`: the detectors over the audit store, now as live, or with another configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.times import as_text, time_ms
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.audit.store import Store
    from pipeline.config import Config
    from pipeline.replay.report import ChangeReport, SameReport
    from pipeline.replay.run import Replayed, Span

SHOWN = 20

FromTime = Annotated[
    str, typer.Option("--from", help="From this time on: ISO 8601, UTC where no zone is given.")
]
ToTime = Annotated[
    str | None, typer.Option("--to", help="Up to this time, which is not included; by default now.")
]
Tried = Annotated[
    Path | None, typer.Option("--config", help="A configuration to try, in place of the one that runs.")
]
Running = Annotated[
    Path | None, typer.Option("--running", help="The configuration that runs; by default auditfuse.toml.")
]
LearnDays = Annotated[
    float | None,
    typer.Option(help="Learn from so many days before --from; by default from all that is stored."),
]
Plot = Annotated[
    Path | None, typer.Option(help="Draw what changes, as .png or .svg; for a replay with --config.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def replay(
    from_time: FromTime,
    to_time: ToTime = None,
    config: Tried = None,
    running: Running = None,
    learn_days: LearnDays = None,
    plot: Plot = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Run the detectors over what is stored, and compare.

    With the configuration that runs, the findings must be the ones that were found live, byte for byte:
    exits with 1 where they are not. With another one (--config) it tells what would change: alarms that
    are new, gone, earlier or later, and the pages a day of each detector. Exits with 1 where an alarm would
    be gone that people called real. Nothing is stored, paged or tripped.

    Examples:

      auditfuse replay --from 2026-11-01

      auditfuse replay --from 2026-10-01 --to 2026-11-01 --config stricter.toml --plot stricter.png
    """
    from pipeline.audit.store import open_store
    from pipeline.config import load_config

    span = _span(from_time, to_time)
    now = load_config(running, store=store)
    other = load_config(config, store=store) if config is not None else now
    chosen = open_store(now.store)
    learn_from_ms = None if learn_days is None else span.from_ms - int(learn_days * 86_400_000)
    report = _compare(chosen, now, other, span, learn_from_ms, show_progress=not as_json)
    if plot is not None:
        _draw(report, plot)
    if as_json:
        import msgspec

        document = msgspec.to_builtins(report) | {"holds": report.holds}
        typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        _tell(report)
    if not report.holds:
        raise typer.Exit(1)


def _span(from_time: str, to_time: str | None) -> Span:
    from pipeline.clock import system_now_ms
    from pipeline.replay.run import Span

    to_ms = system_now_ms() if to_time is None else time_ms(to_time, "--to")
    span = Span(time_ms(from_time, "--from"), to_ms)
    if span.from_ms >= span.to_ms:
        raise ConfigError("--from is not before --to: there is no time between them")
    return span


def _compare(
    store: Store, now: Config, other: Config, span: Span, learn_from_ms: int | None, *, show_progress: bool
) -> SameReport | ChangeReport:
    from pipeline.replay.recorded import recorded_findings
    from pipeline.replay.report import change_report, same_report

    is_same = other.detect.hash == now.detect.hash
    configs = [now] if is_same else [now, other]
    replayed = _replayed(store, configs, span, learn_from_ms, show_progress=show_progress)
    recorded = recorded_findings(store)
    if is_same:
        return same_report(span, replayed[0], recorded, now.detect.hash)
    return change_report(span, replayed[0], replayed[1], recorded, now.respond)


def _replayed(
    store: Store, configs: list[Config], span: Span, learn_from_ms: int | None, *, show_progress: bool
) -> list[Replayed]:
    from pipeline.replay.run import replay as run

    detect = [config.detect for config in configs]
    if not (show_progress and sys.stderr.isatty()):
        return run(store, detect, span, learn_from_ms=learn_from_ms)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    parts = (TextColumn("folding {task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*parts, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        begun_ms = 0

        def show(at_ms: int) -> None:
            nonlocal begun_ms
            begun_ms = begun_ms or at_ms
            total, done = max(1, span.to_ms - begun_ms), at_ms - begun_ms
            bar.update(task, description=as_text(at_ms), completed=done, total=total)

        return run(store, detect, span, learn_from_ms=learn_from_ms, progress=show)


def _draw(report: SameReport | ChangeReport, path: Path) -> None:
    from pipeline.replay.plot import draw
    from pipeline.replay.report import ChangeReport

    if not isinstance(report, ChangeReport):
        raise ConfigError("--plot draws what another configuration changes: name one with --config")
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"--plot {path}: write a .png or a .svg file")
    draw(report, path)


def _tell(report: SameReport | ChangeReport) -> None:
    from pipeline.replay.report import SameReport

    span = f"{as_text(report.from_ms)} to {as_text(report.to_ms)} UTC, {report.signals:,} events folded."
    typer.echo(span)
    if isinstance(report, SameReport):
        _tell_same(report)
    else:
        _tell_changes(report)


def _tell_same(report: SameReport) -> None:
    if report.holds:
        typer.echo(f"The replay gives the same {report.findings:,} findings as live, byte for byte.")
    for one in report.differing[:SHOWN]:
        finding = one.finding
        typer.echo(
            f"{one.what}: {one.finding_id} {finding.detector} {finding.environment}/{finding.agent_id}"
        )
        typer.echo(f"  {as_text(finding.window_start_ms)} {finding.summary}")
    if report.differing:
        typer.echo(f"{len(report.differing):,} findings differ; {report.findings:,} were found live.")
    if report.other_configurations:
        typer.echo(f"Not compared: {report.other_configurations:,} that another configuration found.")


def _tell_changes(report: ChangeReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("detector", "pages a day now", "then", "gone that were real", "gone that were false")
    for name, pages in report.detectors.items():
        days = max(report.days, 1 / 1440)
        counts = (f"{pages.before / days:.2f}", f"{pages.after / days:.2f}")
        table.add_row(name, *counts, str(pages.real_gone), str(pages.false_gone))
    Console(width=None if Console().is_terminal else 120).print(table)
    changed = [one for one in report.changes if one.change != "same"]
    for one in changed[:SHOWN]:
        moved = f" by {abs(one.shift_ms) / 60_000:.0f} min" if one.shift_ms else ""
        said = f" [{one.verdict}]" if one.verdict else ""
        typer.echo(f"{one.change}{moved}{said}: {as_text(one.at_ms)} {one.environment}/{one.agent_id}")
        typer.echo(f"  {one.detector}: {one.summary}")
    if len(changed) > SHOWN:
        typer.echo(f"and {len(changed) - SHOWN:,} more; --json has them all")
    same = len(report.changes) - len(changed)
    typer.echo(f"{same:,} alarms stay as they are, {len(changed):,} change.")
