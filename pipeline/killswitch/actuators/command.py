"""The command: a program of this machine gets the order on standard input; exit status 0 acknowledges it."""

import contextlib
import os
import signal
import subprocess

import msgspec

from pipeline.killswitch.actuators.config import ActuatorConfig
from pipeline.killswitch.actuators.order import Attempt, Order
from pipeline.killswitch.health import fault_of

BASE_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ")


def run(config: ActuatorConfig, order: Order) -> Attempt:
    """Run the program once, without a shell. At the time-out it and its children are killed."""
    names = (*BASE_ENVIRONMENT, *config.pass_env)
    environment = {name: os.environ[name] for name in names if name in os.environ}
    try:
        program = subprocess.Popen(
            config.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        return Attempt(outcome="failed", detail=fault_of(error))
    try:
        program.communicate(msgspec.json.encode(order), config.timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        return Attempt(outcome="failed", detail=f"it was killed after {config.timeout_s:g} s")
    if program.returncode != 0:
        return Attempt(outcome="failed", detail=f"exit status {program.returncode}")
    return Attempt(outcome="done")
