"""Real processes: a server that dies, clients that are stopped, cut off, forked, or have a wrong clock.

Each client fails closed within its own lease, and none before it ends. Leases are of 2 s here;
`make bench-kill` measures the same with those of 15 s and 200 agents.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from auditfuse_client import Guard, Stopped
from support.control_child import running_control
from support.killswitch import running_switch, served, until

from benchmarks.kill_agents import Agents, now_ns
from benchmarks.kill_proxy import running_proxy
from schemas.command import Selector

LEASE_S = 2.0
RENEW_S = 0.5
LATE_NS = 1_000_000_000
"""How late a busy machine may be with a renewal, or with stopping a process."""


@pytest.fixture
def control(tmp_path):
    with running_control(tmp_path / "journal", lease_s=LEASE_S, renew_s=RENEW_S) as control:
        yield control


@pytest.fixture
def agents():
    """Starts processes of agents that all end with the test."""
    with contextlib.ExitStack() as ended:

        def start(url, name, **options):
            one = Agents(url, [f"{name}-{number}" for number in range(3)], **options)
            ended.callback(one.end)
            return one

        yield start


def assert_closed_with_its_lease(agents, since_ns):
    """What every agent's last change says: none acted after its lease, none was refused before its end."""
    for change in agents.latest().values():
        assert not change.allowed and change.cause == "no lease"
        assert change.last_asked_ns <= change.lease_end_ns, "an action was allowed after the lease"
        assert change.at_ns >= change.lease_end_ns, "refused before the lease's end"
        assert change.lease_end_ns <= since_ns + LEASE_S * 1e9
        assert change.lease_end_ns >= since_ns + (LEASE_S - RENEW_S) * 1e9 - LATE_NS


def test_the_server_is_killed_and_every_client_closes_with_its_lease(control, agents):
    groups = [
        agents(control.url, "streams"),
        agents(control.url, "polls", stream=False),
        agents(control.url, "wrong-clock", wrong_clock=True),
    ]
    for group in groups:
        group.wait_allowed()
    killed_ns = now_ns()
    control.process.kill()
    for group in groups:
        group.wait_refused("no lease")
        assert_closed_with_its_lease(group, killed_ns)


def test_a_client_that_was_stopped_past_its_lease_does_nothing_when_it_goes_on(control, agents):
    group = agents(control.url, "stopped")
    group.wait_allowed()
    group.stop()
    stopped_ns = now_ns()
    control.process.kill()
    until(lambda: now_ns() > stopped_ns + (LEASE_S + 0.3) * 1e9)
    group.go_on()
    group.wait_refused("no lease")
    assert_closed_with_its_lease(group, stopped_ns)
    assert all(change.last_done_ns <= stopped_ns + LATE_NS for change in group.latest().values())


def test_a_trip_made_while_a_client_was_stopped_holds_from_its_first_check_on(switch, server, agents):
    group = agents(server.url, "asleep")
    group.wait_allowed()
    group.stop()
    stopped_ns = now_ns()
    switch.trip(Selector(environment="prod"), "off", by="alice", reason="r")
    until(lambda: now_ns() > stopped_ns + (LEASE_S + 0.3) * 1e9)
    group.go_on()
    group.wait_refused("trip")
    until(lambda: switch.status().trips[0].enforcement.acknowledged == 3)
    assert all(change.last_done_ns <= stopped_ns + LATE_NS for change in group.latest().values())


def test_a_client_that_is_cut_off_closes_and_opens_again_when_it_is_heard(control, agents):
    with running_proxy(control.port) as proxy:
        near, far = agents(control.url, "near"), agents(proxy.url, "far")
        near.wait_allowed()
        far.wait_allowed()
        cut_ns = now_ns()
        proxy.partition()
        far.wait_refused("no lease")
        assert_closed_with_its_lease(far, cut_ns)
        proxy.heal()
        far.wait_allowed()
        assert all(change.allowed for change in near.changes()), "the others were not touched"


def test_a_restarted_server_is_found_again(tmp_path, agents):
    with running_control(tmp_path / "journal", lease_s=LEASE_S, renew_s=RENEW_S) as control:
        group = agents(control.url, "agent")
        group.wait_allowed()
    with running_control(tmp_path / "journal", control.port, lease_s=LEASE_S, renew_s=RENEW_S):
        time.sleep(LEASE_S)  # the leases of before have ended
        group.wait_allowed(20)


FORKS = """
import os, sys
from auditfuse_client import Guard, Stopped

guard = Guard(sys.argv[1], agent="a")
with guard.step(action="write"):
    guard.check(action="write")
    child = os.fork()
    if child == 0:
        assert not guard.status().leased and guard.status().under_way == 0
        guard.check(action="write")
        print(guard.status().client, flush=True)
        sys.stdin.readline()
        try:
            while True:
                guard.check(action="write")
        except Stopped as stopped:
            print(stopped.mode, flush=True)
        sys.exit(0)
print(guard.status().client, flush=True)
os.waitpid(child, 0)
try:
    while True:
        guard.check(action="write")
except Stopped as stopped:
    print(stopped.mode, flush=True)
"""


def test_a_forked_child_is_a_client_of_its_own(tmp_path):
    with (
        running_switch(tmp_path / "journal") as switch,
        served(switch) as server,
    ):
        forking = subprocess.Popen(
            [sys.executable, "-c", FORKS, server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert forking.stdin is not None and forking.stdout is not None
        clients = {forking.stdout.readline(), forking.stdout.readline()}
        assert len(clients) == 2
        assert switch.status().fleet.live_leases == 2
        switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
        forking.stdin.write("\n")
        forking.stdin.flush()
        assert [forking.stdout.readline() for _ in range(2)] == ["off\n", "off\n"]
        assert forking.wait(10) == 0
        until(
            lambda: switch.status().fleet.live_leases == 0
        )  # both said goodbye: their leases would have lasted


def test_a_fork_of_a_thread_that_never_checks_costs_nothing(tmp_path):
    with running_control(tmp_path / "journal") as control, Guard(control.url, agent="a") as guard:
        guard.check(action="write")
        if (child := os.fork()) == 0:
            os._exit(int(guard.status().leased))
        assert os.waitpid(child, 0)[1] == 0
        guard.check(action="write")


TOKENS = {
    "tokens": [
        {
            "name": "invoice-agent",
            "role": "agent",
            "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        }
    ],
    "ofrep_open_on_loopback": False,
}
"""The token of invoice-agent is the word `secret`."""


@pytest.mark.parametrize(
    ("agent", "token", "allowed"),
    [
        ("invoice-agent", "secret", True),
        ("invoice-agent", None, False),
        ("invoice-agent", "wrong", False),
        ("search-agent", "secret", False),
    ],
)
def test_without_the_right_token_there_is_no_lease(tmp_path, agent, token, allowed):
    with running_switch(tmp_path / "journal", **TOKENS) as switch, served(switch) as server:
        with Guard(server.url, agent=agent, token=token) as guard:
            if allowed:
                guard.check(action="write")
                return
            with pytest.raises(Stopped, match="it does not take this token for this agent"):
                guard.check(action="write")
            until(lambda: not guard.status().streaming)


PACKAGE = Path(sys.modules["auditfuse_client"].__file__ or "").parent


def test_the_client_needs_the_standard_library_alone_and_starts_fast():
    code = "import sys, json; import auditfuse_client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}",
        ],
        capture_output=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded - {"auditfuse_client", "__main__", "__mp_main__"} <= sys.stdlib_module_names | {
        "_frozen_importlib"
    }


def test_the_wall_clock_is_nowhere_in_the_package():
    for path in PACKAGE.glob("*.py"):
        text = path.read_text()
        assert "time.time" not in text and "datetime" not in text, path.name
