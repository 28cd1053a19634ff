"""`auditfuse canary`: whether a version on trial does worse than the stable one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.chosen_store import StoreOption, chosen_store

if TYPE_CHECKING:
    from detectors.canary import Compared
    from pipeline.detect.canary_report import CanaryReport

NOT_YET_CODE = 3
EXIT_CODES = {"not worse": 0, "worse": 1, "not yet": NOT_YET_CODE}


def canary(
    agent: Annotated[str, typer.Argument(help="The agent.")],
    version: Annotated[str, typer.Option("--canary", help="The version on trial.")],
    stable: Annotated[
        str | None, typer.Option("--stable", help="The version to compare with; else all others.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="Where; needed if the version runs in several.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only events from then on (ISO 8601, UTC).")
    ] = None,
    store: StoreOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare a canary with the stable version: failures, refusals, slow calls and actions, by trace.

    The verdict is worse, not worse (every share stays within its margin) or not yet. It may be asked for
    as often as one likes: the chance of a wrong one stays below detect.canary.alpha. Only what bound
    sources sent counts, and only times in which both versions ran.

    Exit codes: 0 not worse, 1 worse, 3 not yet, 2 the usage or the configuration is wrong.

    Examples:

      auditfuse canary refund-agent --canary 2.1

      auditfuse canary refund-agent --canary 2.1 --stable 2.0 --since 2026-11-01 --json
    """
    import msgspec

    report = _report(agent, (version, stable, environment, since), (store, config))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        typer.echo(as_text(report))
    raise typer.Exit(EXIT_CODES[report.verdict])


def _report(
    agent: str,
    asked: tuple[str, str | None, str | None, str | None],
    places: tuple[str | None, Path | None],
) -> CanaryReport:
    from pipeline.audit.query import connect_newest
    from pipeline.clock import system_now_ms
    from pipeline.commands.times import time_ms
    from pipeline.config import load_config
    from pipeline.detect.canary_report import compare
    from pipeline.detect.canary_rows import Asked, environments_of, frames
    from pipeline.errors import ConfigError

    version, stable, environment, since = asked
    since_ms = 0 if since is None else time_ms(since, "--since")
    settings = load_config(places[1], store=places[0]).detect
    with connect_newest(chosen_store(*places)) as connection:
        found = environments_of(connection, agent, version)
        if environment is None and len(found) > 1:
            raise ConfigError(f"version {version} runs in {', '.join(found)}: choose one by --environment")
        if not found or (environment is not None and environment not in found):
            where = "" if environment is None else f" in {environment}"
            raise ConfigError(f"no events of agent {agent} with version {version}{where} from a bound source")
        where = environment or found[0]
        rows = frames(connection, Asked(agent, where, version, stable, since_ms))
        return compare(rows, settings, (where, agent, version, stable), system_now_ms())


def as_text(report: CanaryReport) -> str:
    """The verdict and a line a measure, for a person."""
    against = report.stable or "all other versions"
    reached = f" since {report.reached_at}" if report.reached_at else ""
    lines = [
        f"{report.environment}/{report.agent_id}: canary {report.canary} against {against}: "
        f"{report.verdict.upper()}{reached}"
    ]
    lines += [_line(one, report.needed_log10_e) for one in report.compared]
    if not report.compared:
        lines.append("  no traces to compare yet")
    return "\n".join(lines)


def _line(one: Compared, needed: float) -> str:
    name = f"{one.measure} {one.action}" if one.action else one.measure
    shown = (
        "worse"
        if one.log10_e_worse >= needed
        else f"within {one.margin:.0%}"
        if one.log10_e_not_worse >= needed
        else f"open (1e{one.log10_e_worse:.1f} worse, 1e{one.log10_e_not_worse:.1f} not, of 1e{needed:.0f})"
    )
    return (
        f"  {name + ':':<28} {one.share:6.1%} of {one.traces:,} traces, stable {one.stable_share:6.1%} "
        f"of {one.stable_traces:,}: {shown}"
    )
