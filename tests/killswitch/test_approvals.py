"""Approvals at the switch: known from sealed rows of bound sources alone, for one use, and not for ever."""

import random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.killswitch import running_switch, served
from support.signals import START_MS, frame, signal

from pipeline.killswitch.approvals import SealedApprovals
from pipeline.killswitch.approvals_config import ApprovalsConfig
from schemas.command import Selector

AGENT = frozenset({"invoice-agent"})
APPROVAL = "apr_0123456789abcdef"


class World:
    """Approvals with a clock that the test moves; `config` as given."""

    def __init__(self, **config):
        self.now_ms = START_MS
        self.approvals = self.another(**config)
        self.config = config

    def another(self, **config):
        return SealedApprovals(
            ApprovalsConfig(**config), now_ms=lambda: self.now_ms, now_s=lambda: self.now_ms / 1000,
            stands_for=lambda redacted, one: redacted == f"<ID:{one}>",
        )  # fmt: skip

    def seal(self, *rows):
        self.approvals.observe(frame(rows))

    def usable(self, approval=APPROVAL, agents=AGENT, tool="refund", environment="prod"):
        return self.approvals.usable(approval, agents, tool, environment)


def granted(at_ms=START_MS, **fields):
    plain = {"approval_id": APPROVAL, "approval_status": "granted", "approval_source": "gateway"}
    return signal(at_ms, **(plain | {"action": "Refund", "action_kind": "none"} | fields))


def used(at_ms=START_MS + 1000, **fields):
    plain = {"approval_id": APPROVAL, "action": "refund", "action_kind": "write"}
    return signal(at_ms, **(plain | fields))


@pytest.fixture
def world():
    return World()


def test_it_opens_for_its_agent_tool_and_environment_alone(world):
    world.seal(granted())
    assert not world.usable(approval="apr_other")
    assert not world.usable(agents=frozenset({"other"}))
    assert not world.usable(tool="pay")
    assert not world.usable(environment="staging")
    assert not world.usable(environment=None)
    assert world.usable()


@pytest.mark.parametrize(
    "row",
    [
        granted(bound=False),
        granted(approval_source="agent"),
        granted(approval_status="requested"),
        granted(approval_status=None),
        granted(action=None),
        granted(approval_id=None),
    ],
    ids=["unbound", "of the agent itself", "only requested", "no status", "for no tool", "no id"],
)
def test_what_proves_no_approval_opens_nothing(world, row):
    world.seal(row)
    assert not world.usable()


def test_the_first_sealed_action_that_names_it_uses_it_up(world):
    world.seal(granted())
    assert world.usable()
    world.seal(used(outcome="denied"))
    assert world.usable()
    world.seal(used())
    assert not world.usable()
    world.seal(granted(START_MS + 2000))
    assert not world.usable()


def test_an_action_that_is_sealed_before_its_approval_uses_it_up_too(world):
    world.seal(used())
    world.seal(granted())
    assert not world.usable()


def test_another_agents_action_does_not_use_it_up(world):
    world.seal(granted(), used(agent_id="other"), used(bound=False))
    assert world.usable()


def test_a_retry_gets_the_same_answer_for_a_minute_and_then_it_is_used(world):
    world.seal(granted())
    assert world.usable()
    world.now_ms += 59_000
    assert world.usable()
    world.now_ms += 2_000
    assert not world.usable()


def test_it_expires_and_cannot_be_granted_ahead(world):
    world.seal(granted(START_MS - 3_601_000), granted(START_MS + 60_000, approval_id="apr_ahead"))
    assert not world.usable()
    assert not world.usable(approval="apr_ahead")
    world.now_ms += 58_000
    assert world.usable(approval="apr_ahead")


def test_a_sender_cannot_date_it_later_than_it_was_appended(world):
    row = granted(START_MS - 3_601_000)
    world.seal(row | {"start_time_unix_nano": START_MS * 1_000_000})
    assert not world.usable()


@pytest.mark.parametrize("status", ["revoked", "denied", "Expired"])
def test_the_gateway_takes_it_back(world, status):
    world.seal(granted(), granted(START_MS + 10, approval_status=status))
    assert not world.usable()


def test_an_id_that_is_sealed_redacted_is_known_by_the_agents_own(world):
    world.seal(granted(approval_id=f"<ID:{APPROVAL}>"))
    assert not world.usable(approval="apr_other")
    assert world.usable()
    world.seal(used(approval_id=f"<ID:{APPROVAL}>"))
    assert not world.usable()


def test_memory_is_bounded_and_what_is_forgotten_opens_nothing():
    world = World(max_known=10)
    world.seal(*[granted(START_MS + n, approval_id=f"apr_{n}") for n in range(50)])
    world.seal(*[used(approval_id=f"apr_never_{n}") for n in range(50)])
    assert len(world.approvals) == 10
    assert not world.usable(approval="apr_0")
    assert world.usable(approval="apr_49")


def test_a_restart_goes_on_from_a_snapshot_that_leaves_no_gap(world):
    opened = granted(approval_id="apr_opened")
    world.seal(granted(), granted(approval_id="apr_used"), used(approval_id="apr_used"), opened)
    assert world.usable(approval="apr_opened")
    content = world.approvals.snapshot({("t", 0): 7})
    for ends, wanted in (({("t", 0): 7}, True), ({}, True), ({("t", 0): 8}, False), ({("t", 1): 1}, False)):
        world.approvals = world.another()
        assert (world.approvals.restore(content, at_least=ends) is not None) is wanted
        assert world.usable() is wanted
        assert not world.usable(approval="apr_used")
        assert not world.usable(approval="apr_opened")
    assert world.approvals.restore(b"garbled", at_least={}) is None


ROWS = st.lists(
    st.builds(
        lambda kind, one, at_ms: kind(START_MS + at_ms, approval_id=f"apr_{one}"),
        st.sampled_from([granted, used]),
        st.integers(0, 3),
        st.integers(0, 1000),
    ),
    max_size=12,
)


@given(ROWS, st.integers(0, 12), st.integers(0, 2**16))
@settings(max_examples=100, deadline=None)
def test_told_twice_cut_anywhere_or_snapshotted_it_knows_the_same(rows, cut, seed):
    chance = random.Random(seed)
    worlds = [World() for _ in range(4)]
    for world in worlds:
        world.now_ms = START_MS + 2000
    if rows:
        worlds[0].seal(*rows)
        worlds[1].seal(*rows)
        worlds[1].seal(*rows)
        for part in (rows[:cut], rows[cut:]):
            if part:
                worlds[2].seal(*part)
            content = worlds[2].approvals.snapshot({})
            worlds[2].approvals = worlds[2].another()
            worlds[2].approvals.restore(content, at_least={})
        mixed = rows[:]
        chance.shuffle(mixed)  # partitions are read in any order
        worlds[3].seal(*mixed)
    names = [f"apr_{one}" for one in range(4)]
    answers = [[world.usable(approval=name) for name in names] for world in worlds]
    assert answers[0] == answers[1] == answers[2] == answers[3]
    used_up = {row["approval_id"] for row in rows if row["action_kind"] == "write"}
    assert not any(yes for name, yes in zip(names, answers[0], strict=True) if name in used_up)


def test_it_opens_write_under_approval_and_nothing_under_read_only(tmp_path, world):
    world.seal(granted())
    with running_switch(tmp_path / "journal") as switch, served(switch) as server:
        switch.approvals = world.approvals
        url = f"{server.url}/ofrep/v1/evaluate/flags/agent.write"

        def allowed(**context):
            asked = {"targetingKey": "Invoice-Agent", "environment": "prod", "tool": "refund"} | context
            return httpx.post(url, json={"context": asked}).json()["value"]

        switch.trip(Selector(agent="invoice-agent"), "approval", by="alice", reason="r")
        assert not allowed()
        assert not allowed(approval=APPROVAL, tool="pay")
        assert allowed(approval=APPROVAL)
        switch.trip(Selector(agent="invoice-agent"), "read_only", by="alice", reason="r")
        assert not allowed(approval=APPROVAL)
