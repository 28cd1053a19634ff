"""Runs a drill from the command line: clients join, the scope is tripped, each stop is timed, it ends."""

import time
from collections.abc import Callable, Sequence

from pipeline.errors import AuditfuseError
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.drill import ClientMeasure, DrillResult
from pipeline.killswitch.drill_clients import KINDS, DrillClient
from pipeline.killswitch.drill_http import DrillOrder, DrillReport
from pipeline.killswitch.operator import BASE, SEALING_TIMEOUT_S, TIMEOUT_S, Operator
from pipeline.killswitch.server import Answer
from pipeline.killswitch.status import Status

JOIN_S = 5.0
LIFT_S = 10.0
"""How long after its end a drill's trip may still be in force: its lift must be sealed."""
CLIENT_TIMEOUT_S = 15.0
"""Of one read: longer than a stream is ever silent."""
POLL_S = 0.01


class DrillError(AuditfuseError):
    """A drill that could not be run."""

    exit_code = 1


def run_drill(
    operator: Operator, config: KillSwitchConfig, *, agent: str, by: str, seconds: float, each: int = 1
) -> DrillResult:
    """Run one, with `each` clients of every kind. Raises DrillError, NoServerError, ConfigError."""
    operator.status()  # before anything else, whether a server answers at all
    clients = [
        kind(
            f"{kind.kind}-{number}",
            agent,
            lambda: operator.connect(CLIENT_TIMEOUT_S),
            operator.headers(),
            config.renew_s,
        )
        for kind in KINDS
        for number in range(1, each + 1)
    ]
    for client in clients:
        client.start()
    try:
        return _measure(operator, config, clients, DrillOrder(agent=agent, seconds=seconds, by=by))
    finally:
        for client in clients:
            client.stop()


def _measure(
    operator: Operator, config: KillSwitchConfig, clients: Sequence[DrillClient], order: DrillOrder
) -> DrillResult:
    if not _wait(lambda: all(client.is_allowed for client in clients), JOIN_S):
        who = ", ".join(client.name for client in clients if not client.is_allowed)
        raise DrillError(
            f"no drill: {who} may not act before it has begun. "
            "Is everything tripped (auditfuse killswitch status), or the server not answering clients?"
        )
    found_s = time.monotonic()
    began = operator.ask("POST", f"{BASE}/drills", order, Answer, TIMEOUT_S)
    trip_id = began.command.id
    _wait(lambda: all(client.stopped_s is not None for client in clients), order.seconds - 0.5)
    enforcement = _enforcement(operator, trip_id)
    ends_s = found_s + order.seconds + LIFT_S + config.renew_s
    _wait(lambda: all(client.allowed_again_s is not None for client in clients), ends_s - time.monotonic())
    report = DrillReport(clients=[_measured(client, found_s) for client in clients], enforcement=enforcement)
    path = f"{BASE}/drills/{trip_id}/result"
    return operator.ask("POST", path, report, DrillResult, SEALING_TIMEOUT_S)


def _enforcement(operator: Operator, trip_id: str) -> str:
    trips = operator.ask("GET", BASE, None, Status, TIMEOUT_S).trips
    return next((trip.enforcement.state for trip in trips if trip.id == trip_id), "unknown")


def _measured(client: DrillClient, found_s: float) -> ClientMeasure:
    return ClientMeasure(
        name=client.name,
        kind=client.kind,
        last_action_ms=_ms(client.stopped_s, found_s),
        allowed_again_ms=_ms(client.allowed_again_s, found_s),
    )


def _ms(moment_s: float | None, found_s: float) -> float | None:
    return None if moment_s is None else round((moment_s - found_s) * 1000, 1)


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    ends_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= ends_s:
            return False
        time.sleep(POLL_S)
    return True
