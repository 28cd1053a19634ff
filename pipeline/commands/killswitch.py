"""`auditfuse killswitch`: what is tripped, trip, ask for and approve a reset, step down, drill."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.commands.chosen_store import StoreOption
from pipeline.commands.killswitch_report import (
    print_drill,
    print_drills,
    print_json,
    print_status,
    report,
    report_answer,
)
from pipeline.commands.who import who
from pipeline.errors import ConfigError
from schemas.command import MODES, Command, Mode, Selector

if TYPE_CHECKING:
    from pipeline.killswitch.operator import Operator
    from pipeline.killswitch.status import Status

app = typer.Typer(help="See, trip and reset the kill switch.", no_args_is_help=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who you are; by default the user of this system.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for those who read it later.")]


@app.command()
def status(config: ConfigOption = None, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show the trips in force and whether they are enforced, the resets that wait for approval, and whether
    the switch is healthy.

    Examples:

      auditfuse killswitch status

      auditfuse killswitch status --json
    """
    from pipeline.killswitch.operator import NoServerError

    operator = _operator(config, store)
    served = True
    try:
        now = operator.status()
    except NoServerError as error:
        served = False
        sys.stderr.write(f"auditfuse: {error}; this is what a restarted server would begin with\n")
        now = operator.remembered_status()
    overdue = operator.overdue_drill()
    if json:
        print_json({"served": served, **msgspec.to_builtins(now), "drill_overdue": overdue})
    else:
        print_status(now)
        if overdue:
            print(f"WARNING: {overdue}")


@app.command()
def trip(
    *,
    reason: ReasonOption,
    agent: Annotated[str | None, typer.Option(help="The agent to trip.")] = None,
    environment: Annotated[str | None, typer.Option(help="Only in this environment.")] = None,
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every agent there is.")] = False,
    mode: Annotated[str, typer.Option(help="throttle, approval, read_only or off.")] = "off",
    by: ByOption = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="End by itself after so many minutes.")
    ] = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Trip: at once, with the store, Kafka and even the control server down.

    Without the server the trip is written to the journal, which the server reads as soon as it runs.

    Examples:

      auditfuse killswitch trip --agent invoice-agent --mode off --reason "pays twice" --by alice

      auditfuse killswitch trip --tool refund --mode read_only --minutes 30 --reason "price file is wrong"
    """
    selector = Selector(environment=environment, agent=agent, version=version, tool=tool)
    if (selector == Selector()) != everything:
        raise ConfigError(
            "name what to trip (--agent, --environment, --version, --tool), or --all for everything"
        )
    until_ms = None if minutes is None else int((time.time() + minutes * 60) * 1000)
    answer = _operator(config, store).trip(
        selector, _mode(mode, MODES[1:]), by=who(by), reason=_reason(reason), until_ms=until_ms
    )
    if isinstance(answer, Command):
        sys.stderr.write(
            "auditfuse: no control server answers. The trip is in the journal, and a server that starts or "
            "runs with it serves it at once; until then agents get no answer, which means no action\n"
        )
        report(answer, "journaled", "", json=json)
    else:
        report_answer(answer, json=json)


@app.command()
def reset(
    trips: Annotated[list[str] | None, typer.Argument(help="The trips to lift (see status).")] = None,
    *,
    reason: ReasonOption,
    approve: Annotated[str | None, typer.Option(help="Approve this request, as a second person.")] = None,
    to: Annotated[
        str | None, typer.Option(help="Loosen only to this mode: on, throttle, approval, read_only.")
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Loosen by one mode only, and show the steps that follow.")
    ] = False,
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Lift trips, by two people: one asks, another approves. It is served once it is sealed.

    With --steps it is loosened mode by mode (read_only, approval, throttle, on), each step by two people, so
    that the agent is watched in between.

    Examples:

      auditfuse killswitch reset trip_5f0c77aa1b2c --by alice --reason "fixed in 4.2.1"

      auditfuse killswitch reset trip_5f0c77aa1b2c --steps --by alice --reason "fixed in 4.2.1"

      auditfuse killswitch reset --approve reset_91be05d2a7f3 --by bob --reason "checked the fix"
    """
    if bool(trips) == (approve is not None):
        raise ConfigError("name the trips to lift, or --approve REQUEST, not both")
    if steps and (to is not None or approve is not None):
        raise ConfigError("--steps chooses the mode itself: leave out --to and --approve")
    operator = _operator(config, store)
    if approve is not None:
        answer = operator.approve_reset(approve, by=who(by), reason=_reason(reason))
        report_answer(answer, json=json)
        return
    path: list[Mode] = [_mode(to or "on", MODES[:-1])]
    if steps:
        path = _path_to_on(operator.status(), trips or [])
    answer = operator.request_reset(trips or [], by=who(by), reason=_reason(reason), mode=path[0])
    report_answer(answer, json=json)
    if len(path) > 1 and not json:
        print(f"then, each by two people again: {', then '.join(path[1:])}")
        print(f"next: auditfuse killswitch reset {' '.join(trips or [])} --steps --reason …")


@app.command("step-down")
def step_down(
    trips: Annotated[list[str], typer.Argument(help="Automatic trips (see status).")],
    *,
    reason: ReasonOption,
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Take an automatic trip down to read_only, as one person on call. Lifting it takes two.

    Examples:

      auditfuse killswitch step-down trip_5f0c77aa1b2c --by alice --reason "month end, reads are needed"
    """
    answer = _operator(config, store).step_down(trips, by=who(by), reason=_reason(reason))
    report_answer(answer, json=json)


@app.command()
def drill(
    agent: Annotated[str, typer.Option(help="The drill's own agent: drill-NAME.")] = "drill-fleet",
    seconds: Annotated[float, typer.Option(min=1, max=300, help="The trip ends after so many seconds.")] = 15,
    clients: Annotated[int, typer.Option(min=1, max=20, help="Clients of each kind.")] = 1,
    last: Annotated[bool, typer.Option("--last", help="Only show how the last drills went.")] = False,
    by: ByOption = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Trip a scope of its own, end to end, and measure how long its clients could still act.

    No agent is in that scope, which is the reserved environment auditfuse-drill, and the trip ends by itself.
    The result is kept in the journal; status and doctor complain when the last good one is too old. Exit
    status 1: it was not good.

    Examples:

      auditfuse killswitch drill

      auditfuse killswitch drill --agent drill-payments --clients 5 --json

      auditfuse killswitch drill --last
    """
    from pipeline.killswitch.drill_http import Drills
    from pipeline.killswitch.drill_run import run_drill
    from pipeline.killswitch.operator import BASE, TIMEOUT_S

    operator = _operator(config, store)
    if last:
        shown = operator.ask("GET", f"{BASE}/drills", None, Drills, TIMEOUT_S)
        if json:
            print_json(msgspec.to_builtins(shown))
            return
        print_drills(shown)
        return
    result = run_drill(operator, operator.config, agent=agent, by=who(by), seconds=seconds, each=clients)
    if json:
        print_json(msgspec.to_builtins(result))
    else:
        print_drill(result)
    if not result.good:
        raise typer.Exit(1)


def _operator(config: Path | None, store: str | None) -> "Operator":
    from pipeline.config import load_config
    from pipeline.keys import Keys
    from pipeline.killswitch.operator import Operator
    from pipeline.logs import configure_logs
    from pipeline.redact.reasons import ReasonRedactor

    settings = load_config(config, store=store)
    configure_logs(settings.log)
    return Operator(settings.killswitch, ReasonRedactor(settings.redaction, Keys(settings.keys.path)))


def _path_to_on(now: "Status", trips: list[str]) -> list[Mode]:
    """The modes from the strictest of these trips down to `on`, one step after the other."""
    modes = [one.mode for one in now.trips if one.id in trips]
    if not modes:
        raise ConfigError(f"no trip in force has the id {' or '.join(trips)[:200]}")
    strictest = max(MODES.index(mode) for mode in modes)
    return [MODES[rank] for rank in range(strictest - 1, -1, -1)]


def _mode(text: str, allowed: tuple[Mode, ...]) -> Mode:
    for mode in allowed:
        if mode == text.replace("-", "_").lower():
            return mode
    raise ConfigError(f"the mode must be one of {', '.join(allowed)}")


def _reason(reason: str) -> str:
    if not reason.strip():
        raise ConfigError("give a --reason: whoever gets woken by this will ask")
    return reason
