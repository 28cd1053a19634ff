"""The book of leases: who has acknowledged what, and what each trip's enforcement is called."""

import pytest

from pipeline.killswitch.enforcement import Report
from pipeline.killswitch.lease_desk import LeaseDesk
from pipeline.killswitch.leases import Identity, LeaseError
from pipeline.killswitch.peers import Elsewhere
from pipeline.killswitch.state import fold
from schemas.command import Command, Selector

LEASE_S = 15.0


class Monotonic:
    """Seconds that a test moves."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Monotonic()


@pytest.fixture
def young(clock):
    return LeaseDesk(LEASE_S, 100, lambda name: [], clock)


@pytest.fixture
def desk(young, clock):
    """One that has run for longer than any lease of an earlier process lasts."""
    clock.now_s += LEASE_S + 1
    return young


def tripped(*trips):
    return fold(trips, {})


def trip(agent="a", mode="off", number=1, **selector):
    return Command(
        id=f"trip_{number:08x}",
        command="trip",
        at_ms=1,
        by="alice",
        automatic=False,
        reason="r",
        selector=Selector(agent=agent, **selector),
        mode=mode,
    )


def renew(desk, client="client-1", agent="a", environment=None, version=None, **options):
    return desk.renew(client, Identity(agent, environment, version), **options)


def state_of(desk, number=1):
    return desk.enforcement()[f"trip_{number:08x}"].state


def test_a_trip_is_enforced_once_every_client_that_it_covers_has_acknowledged_it(desk):
    renew(desk, "client-1")
    renew(desk, "client-2")
    renew(desk, "client-3", agent="another")
    state = tripped(trip())
    desk.serve(state)
    assert state_of(desk) == "asked"
    renew(desk, "client-1", acknowledges=state.digest)
    assert state_of(desk) == "asked"
    renew(desk, "client-2", acknowledges=state.digest)
    one = desk.enforcement()["trip_00000001"]
    assert (one.state, one.acknowledged, one.waiting, one.ended) == ("enforced", 2, 0, 0)


def test_a_client_that_is_not_heard_again_counts_once_its_lease_has_ended_and_a_second(desk, clock):
    renew(desk)
    desk.serve(tripped(trip()))
    clock.now_s += LEASE_S + 0.99
    assert state_of(desk) == "asked"
    clock.now_s += 0.01
    assert desk.enforcement()["trip_00000001"].ended == 1
    assert state_of(desk) == "enforced"


def test_a_client_that_renews_and_never_acknowledges_makes_it_not_enforced(desk, clock):
    renew(desk)
    desk.serve(tripped(trip()))
    for _ in range(4):
        assert state_of(desk) == "asked"
        renew(desk)
        clock.now_s += 4.1
    one = desk.enforcement()["trip_00000001"]
    assert (one.state, one.late) == ("not enforced", 1)


def test_a_client_that_starts_long_after_the_trip_has_the_time_of_a_lease_to_acknowledge(desk, clock):
    desk.serve(tripped(trip()))
    clock.now_s += 3600
    renew(desk)
    assert state_of(desk) == "asked"


def test_without_any_client_it_is_unknown_and_a_lease_that_ended_before_the_trip_is_none(desk, clock):
    renew(desk)
    clock.now_s += LEASE_S + 2
    desk.serve(tripped(trip()))
    assert state_of(desk) == "unknown"


def test_a_host_vouches_for_nothing_before_the_leases_of_an_earlier_process_have_ended(young, clock):
    state = tripped(trip())
    young.serve(state)
    renew(young, acknowledges=state.digest)
    assert state_of(young) == "unknown"
    young.outlive(60.0)
    clock.now_s += LEASE_S + 1
    renew(young, acknowledges=state.digest)
    assert state_of(young) == "unknown"
    clock.now_s += 45
    renew(young, acknowledges=state.digest)
    assert state_of(young) == "enforced"


def test_an_acknowledgement_of_an_older_digest_does_not_stand_for_the_newer_trip(desk):
    renew(desk)
    first = tripped(trip())
    desk.serve(first)
    renew(desk, acknowledges=first.digest)
    second = tripped(trip(), trip(number=2, mode="read_only"))
    desk.serve(second)
    assert (state_of(desk, 1), state_of(desk, 2)) == ("enforced", "asked")
    renew(desk, acknowledges=first.digest)
    assert state_of(desk, 2) == "asked"
    renew(desk, acknowledges=second.digest)
    assert state_of(desk, 2) == "enforced"


def test_a_forged_digest_acknowledges_nothing(desk):
    desk.serve(tripped(trip()))
    renew(desk, acknowledges="f" * 64)
    assert state_of(desk) == "asked"


def test_who_obeys_the_harder_mode_obeys_what_it_is_loosened_to(desk):
    renew(desk)
    hard = tripped(trip(mode="off"))
    desk.serve(hard)
    renew(desk, acknowledges=hard.digest)
    desk.serve(tripped(trip(mode="read_only")))
    assert state_of(desk) == "enforced"
    desk.serve(tripped(trip(mode="read_only"), trip(number=2, mode="throttle")))
    soft = tripped(trip(mode="throttle"))
    desk.serve(soft)
    renew(desk, acknowledges=soft.digest)
    desk.serve(hard)
    assert state_of(desk) == "asked"


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        ({}, True),
        ({"environment": "prod"}, True),
        ({"environment": "PROD"}, True),
        ({"environment": "test"}, False),
        ({"version": "9"}, True),  # the client does not say its version
        ({"tool": "refund"}, True),  # the tool is the client's to compare
    ],
)
def test_whom_a_trip_covers(desk, selector, covered):
    desk.serve(tripped(trip(**selector)))
    _, trips = renew(desk, environment="prod")
    assert bool(trips) is covered
    assert state_of(desk) == ("asked" if covered else "unknown")


def test_an_agent_is_covered_under_its_redacted_name(clock):
    desk = LeaseDesk(LEASE_S, 100, lambda name: ["of <PERSON:k1.0>"] if name == "of Marta" else [], clock)
    clock.now_s += LEASE_S + 1
    desk.serve(tripped(trip(agent="of <PERSON:k1.0>")))
    assert [one.command.id for one in renew(desk, agent="of Marta")[1]] == ["trip_00000001"]
    assert state_of(desk) == "asked"


def test_actions_begun_before_the_trip_are_counted(desk, clock):
    renew(desk)
    state = tripped(trip())
    desk.serve(state)
    clock.now_s += 2
    renew(desk, acknowledges=state.digest, under_way_s=[1.0, 2.0, 60.0])
    assert desk.enforcement()["trip_00000001"].under_way == 2


def test_goodbye_ends_a_lease_at_once(desk):
    renew(desk)
    desk.serve(tripped(trip()))
    assert desk.release("client-1")
    assert not desk.release("client-2")
    assert (state_of(desk), desk.live()) == ("enforced", 0)
    renew(desk)
    assert (state_of(desk), desk.live()) == ("asked", 1)


def test_a_client_id_is_one_agents(desk):
    renew(desk)
    with pytest.raises(LeaseError) as caught:
        renew(desk, agent="another")
    assert caught.value.status == 409


def test_leases_are_bounded_and_one_agent_shuts_no_other_out(desk, clock):
    for number in range(25):
        renew(desk, f"greedy-{number:03}", agent=" Greedy" if number % 2 else "greedy")
    with pytest.raises(LeaseError) as caught:
        renew(desk, "greedy-one-more", agent="GREEDY")
    assert caught.value.status == 503
    renew(desk, "greedy-000", agent="greedy")
    for number in range(75):
        renew(desk, f"client-{number:03}", agent=f"agent-{number}")
    with pytest.raises(LeaseError):
        renew(desk, "client-one-more", agent="new")
    clock.now_s += LEASE_S + 1
    renew(desk, "client-one-more", agent="new")
    assert desk.live() == 1


def test_a_host_that_is_not_heard_makes_it_unknown_and_a_failed_actuator_not_enforced(desk):
    state = tripped(trip())
    desk.serve(state)
    renew(desk, acknowledges=state.digest)
    assert desk.enforcement(Elsewhere(unheard=("peer-b",)))["trip_00000001"].state == "unknown"
    desk.report("trip_00000001", Report(source="gateway", verdict="asked"))
    assert state_of(desk) == "asked"
    desk.report("trip_00000001", Report(source="gateway", verdict="enforced"))
    assert state_of(desk) == "enforced"
    desk.report("trip_00000001", Report(source="gateway", verdict="not enforced", detail="500 for an hour"))
    one = desk.enforcement(Elsewhere(unheard=("peer-b",)))["trip_00000001"]
    assert (one.state, one.why) == ("not enforced", "gateway says that it is not")
    desk.report("trip_nobody", Report(source="gateway", verdict="asked"))
    desk.serve(tripped())
    assert desk.enforcement() == {}
