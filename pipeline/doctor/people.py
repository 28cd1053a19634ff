"""What people rely on: targets that take pages, a control server, tokens."""

import os
from collections.abc import Iterator

from pipeline.clock import NowMs
from pipeline.config import Config
from pipeline.doctor.model import CheckResult, fails, warning, well
from pipeline.errors import AuditfuseError
from pipeline.killswitch.drill import last_good_drill, overdue
from pipeline.killswitch.operator import NoServerError, Operator
from pipeline.killswitch.status import PartStatus
from pipeline.redact.reasons import as_it_is
from pipeline.respond.engine import goes_unverified, sqlite_file
from pipeline.respond.pager import ApprisePager
from pipeline.respond.schema import needs
from pipeline.respond.state import StateDatabase


def page_targets(config: Config) -> Iterator[CheckResult]:
    """Whether somebody would be told, and of what nobody has been."""
    respond = config.respond
    missing = [one for one in respond.targets if one.url_env and not os.environ.get(one.url_env)]
    for target in missing:
        yield fails(
            f"target {target.name}",
            f"the environment variable {target.url_env} is not set",
            "set it to the target's URL where auditfuse runs",
        )
    if not missing:
        ApprisePager(respond).check()
    if not respond.targets:
        yield warning(
            "targets", "there is none: pages are printed on the terminal", "add [[respond.targets]]"
        )
    elif len(respond.targets) == 1 or respond.last_resort is None:
        yield warning(
            "targets",
            "nobody is told when pages cannot be delivered",
            "add a second target and name it as respond.last_resort",
        )
    else:
        yield well("targets", f"{len(respond.targets)}, the last resort is {respond.last_resort}")


def state_database(config: Config) -> Iterator[CheckResult]:
    """Whether it can be used, and what waits in it."""
    file = sqlite_file(config.state)
    if file is not None and not file.exists():
        yield warning("state database", f"there is none at {file} yet", "the first run makes it")
        return
    if goes_unverified(config.state):
        says = "the server of the state database is not verified: anyone between can read and change it"
        yield warning(
            "state database's TLS", says, "put ?sslmode=verify-full&sslrootcert=PATH into state.url"
        )
    state = StateDatabase(config.state.model_copy(update={"retry_for_ms": 2_000}), config.respond)
    try:
        version = state.schema_version()
        remedy = needs(version)
        if remedy is not None:
            yield (warning if version is None else fails)("state database", f"schema {version}", remedy)
            return
        waiting = sum(state.undelivered().values())
        open_incidents = len(state.incidents())
    finally:
        state.close()
    says = f"{open_incidents} incidents open"
    if waiting:
        yield warning(
            "state database",
            f"{says}, {waiting} pages wait for delivery",
            "auditfuse incidents list; page test",
        )
    else:
        yield well("state database", f"{says}, no page waits")


def drills(config: Config, now_ms: NowMs) -> Iterator[CheckResult]:
    """When a trip was last seen to stop what it should."""
    last = last_good_drill(config.killswitch.journal)
    complaint = overdue(last, config.killswitch, now_ms())
    if last is None or complaint:
        says, _, remedy = (complaint or "there was no good drill yet").partition(": ")
        yield warning("drill", says, remedy)
    else:
        slowest_ms = max(client.last_action_ms or 0.0 for client in last.clients)
        yield well("drill", f"{len(last.clients)} clients stopped, the last after {slowest_ms:,.0f} ms")


def control_server(config: Config) -> Iterator[CheckResult]:
    """Whether trips are served."""
    try:
        status = Operator(config.killswitch, as_it_is).status()
    except NoServerError as error:
        yield fails("control server", str(error), "is auditfuse running on this host? See auditfuse run")
        return
    except AuditfuseError as error:
        yield warning("control server", str(error), "give this command a viewer's token: AUDITFUSE_TOKEN")
        return
    parts: dict[str, PartStatus] = {"journal": status.journal, "record in _control": status.control}
    for name, part in parts.items():
        if not part.working:
            yield fails(f"kill switch's {name}", part.fault or "does not work", "trips are served meanwhile")
    yield well("control server", f"answers; {len(status.trips)} trips in force")
