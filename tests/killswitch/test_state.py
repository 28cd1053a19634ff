"""The join of trips: adding never loosens, order never matters, what a context leaves out never helps."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.killswitch.state import (
    RANK,
    Context,
    NoApprovals,
    flags_for,
    fold,
    join,
    same_person,
)
from schemas.command import MODES, Command, Selector

names = st.sampled_from(["a", "b", "c"])
maybe = st.none() | names
selectors = st.builds(Selector, environment=maybe, agent=maybe, version=maybe, tool=maybe)
people = st.sampled_from(["alice", "Alice ", "bob"])
contexts = st.builds(
    Context,
    agents=st.none() | st.frozensets(names, min_size=1, max_size=2),
    environment=maybe,
    version=maybe,
    tool=maybe,
)
trips = st.builds(
    lambda n, selector, mode, automatic, until: command(
        "trip", f"trip_{n}", selector=selector, mode=mode, automatic=automatic, until_ms=until
    ),
    st.integers(0, 5),
    selectors,
    st.sampled_from(MODES[1:]),
    st.booleans(),
    st.none() | st.integers(0, 20),
)
named = st.lists(st.integers(0, 5).map(lambda n: f"trip_{n}"), min_size=1, max_size=3)
requests = st.builds(
    lambda n, by, ids, mode: command("reset_request", f"reset_{n}", by=by, trips=ids, mode=mode),
    st.integers(0, 3),
    people,
    named,
    st.sampled_from(MODES[:-1]),
)
approvals = st.builds(
    lambda n, m, by: command("reset_approval", f"approval_{n}", by=by, request_id=f"reset_{m}"),
    st.integers(0, 3),
    st.integers(0, 3),
    people,
)
loosenings = st.builds(
    lambda kind, n, ids, at: command(kind, f"{kind}_{n}", trips=ids, at_ms=at),
    st.sampled_from(["step_down", "expire"]),
    st.integers(0, 3),
    named,
    st.integers(0, 20),
)
commands = st.lists(st.one_of(trips, requests, approvals, loosenings), max_size=14)


def command(kind, id, *, at_ms=0, by="alice", automatic=False, **fields) -> Command:
    return Command(command=kind, id=id, at_ms=at_ms, by=by, automatic=automatic, reason="r", **fields)


def sealed(commands) -> dict[str, Command]:
    """As `_control` holds them: the first of an id, in a fixed order."""
    found: dict[str, Command] = {}
    for one in commands:
        found.setdefault(one.id, one)
    return found


def mode_for(state, context) -> str:
    return join(state.matching(context))


@given(commands, st.lists(trips, max_size=4), trips, contexts)
def test_one_more_trip_never_loosens(history, unsealed, trip, context):
    before = fold(unsealed, sealed(history))
    after = fold([*unsealed, trip], sealed(history))
    assert RANK[mode_for(after, context)] >= RANK[mode_for(before, context)]


@given(commands, st.lists(trips, max_size=4), st.randoms())
def test_the_order_of_commands_does_not_matter(history, unsealed, random):
    ordered = sealed(history)
    shuffled = list(ordered.items())
    random.shuffle(shuffled)
    mixed = list(unsealed)
    random.shuffle(mixed)
    assert fold(unsealed, ordered).digest == fold(mixed, dict(shuffled)).digest
    assert {t.command.id for t in fold(unsealed, ordered).in_force} == {
        t.command.id for t in fold(mixed, dict(shuffled)).in_force
    }


@given(commands, contexts, st.sampled_from(Context._fields))
def test_leaving_an_attribute_out_never_loosens(history, context, attribute):
    state = fold([], sealed(history))
    without = context._replace(**{attribute: None})
    assert RANK[mode_for(state, without)] >= RANK[mode_for(state, context)]


@given(st.lists(st.one_of(requests, approvals, loosenings), max_size=8), trips)
def test_loosening_takes_two_people_or_a_rule(loosening, trip):
    """Whatever rows `_control` holds, a trip is looser only if one of the three ways was really taken."""
    rows = sealed(loosening)
    state = fold([trip], rows)
    mode = state.in_force[0].mode if state.in_force else "on"
    if mode == trip.mode:
        return
    reset = any(
        r.command == "reset_approval"
        and (asked := rows.get(r.request_id or "")) is not None
        and asked.by.strip().lower() != r.by.strip().lower()
        and trip.id in asked.trips
        for r in rows.values()
    )
    stepped = trip.automatic and any(r.command == "step_down" and trip.id in r.trips for r in rows.values())
    expired = trip.until_ms is not None and any(
        r.command == "expire" and trip.id in r.trips and r.at_ms >= trip.until_ms for r in rows.values()
    )
    assert reset or stepped or expired
    if stepped and not (reset or expired):
        assert mode == "read_only"


def test_an_agents_trip_spans_environments_unless_it_says_less():
    everywhere = fold([command("trip", "trip_1", selector=Selector(agent="a"), mode="off")], {})
    prod_only = fold(
        [command("trip", "trip_2", selector=Selector(agent="a", environment="prod"), mode="off")], {}
    )
    staging = Context(agents=frozenset({"a"}), environment="staging")
    assert mode_for(everywhere, staging) == "off"
    assert mode_for(prod_only, staging) == "on"
    assert mode_for(prod_only, Context(agents=frozenset({"a"}))) == "off"
    assert mode_for(prod_only, Context(agents=frozenset({"b"}), environment="prod")) == "on"


def test_selectors_ignore_case_so_that_a_hurried_trip_hits():
    state = fold([command("trip", "trip_1", selector=Selector(agent="Invoice-Agent"), mode="off")], {})
    assert mode_for(state, Context(agents=frozenset({"invoice-agent"}))) == "off"


def test_two_trips_of_one_id_both_stay_in_force():
    mild = command("trip", "trip_1", selector=Selector(agent="a"), mode="throttle")
    hard = command("trip", "trip_1", selector=Selector(agent="b"), mode="off")
    state = fold([hard], sealed([mild]))
    assert mode_for(state, Context(agents=frozenset({"a"}))) == "throttle"
    assert mode_for(state, Context(agents=frozenset({"b"}))) == "off"


def test_a_trip_that_names_no_mode_and_no_selector_stops_everything():
    state = fold([command("trip", "trip_1")], {})
    assert mode_for(state, Context(agents=frozenset({"anyone"}), environment="prod")) == "off"


def test_flags_by_mode():
    context = Context(agents=frozenset({"a"}), tool="refund", approval="apr_1")

    class Granted:
        def usable(self, approval_id, agents, tool, environment=None):
            return (approval_id, tool) == ("apr_1", "refund") and "a" in agents

    rows = {mode: flags_for(mode, context, NoApprovals())[1:] for mode in MODES}
    assert rows == {
        "on": (True, True, True),
        "throttle": (True, True, True),
        "approval": (True, False, False),
        "read_only": (True, False, False),
        "off": (False, False, False),
    }
    assert flags_for("approval", context, Granted()).write
    assert not flags_for("read_only", context, Granted()).write
    assert not flags_for("off", context, Granted()).enabled
    assert not flags_for("approval", context._replace(tool=None), Granted()).write
    assert not flags_for("approval", context._replace(approval="apr_2"), Granted()).external


def test_one_person_in_two_spellings_is_one_person():
    assert same_person("Alice", " alice")
    assert same_person("Alice Smith", "ALICE  SMITH")
    assert not same_person("alice", "bob")
