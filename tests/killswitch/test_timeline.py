"""What a trip forbade and when."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.killswitch.state import fold
from pipeline.killswitch.timeline import timelines
from schemas.command import MODES, Command, Selector


def command(kind: Any, number: int, at_ms: int, **fields: Any) -> Command:
    plain: dict[str, Any] = {"by": "alice", "automatic": True, "reason": ""}
    return Command(id=f"{kind}_{number}", command=kind, at_ms=at_ms, **(plain | fields))


TRIP = command("trip", 0, 10, selector=Selector(agent="a"), mode="off")


def test_a_trip_that_is_stepped_down_and_reset() -> None:
    later = [
        command("step_down", 0, 20, trips=["trip_0"]),
        command("reset_request", 0, 25, trips=["trip_0"], mode="on"),
        command("reset_approval", 0, 30, by="bob", request_id="reset_request_0"),
    ]
    [one] = timelines([], {c.id: c for c in [TRIP, *later]})
    assert (one.mode, one.loosened) == ("off", ((20, "read_only"), (30, "on")))


def test_a_request_that_nobody_approved_loosens_nothing() -> None:
    [one] = timelines([TRIP], {"r": command("reset_request", 0, 25, trips=["trip_0"], mode="on")})
    assert one.loosened == ()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(MODES), st.integers(0, 99)), max_size=8))
def test_the_last_mode_is_the_one_in_force(loosenings: list[tuple[int, Any, int]]) -> None:
    sealed = {TRIP.id: TRIP}
    for number, (kind, mode, at_ms) in enumerate(loosenings):
        request = command("reset_request", number, at_ms, trips=["trip_0"], mode=mode)
        approval = command("reset_approval", number, at_ms, by="bob", request_id=request.id)
        step_down = command("step_down", number, at_ms, trips=["trip_0"])
        for one in (step_down,) if kind == 0 else (request, approval):
            sealed[one.id] = one
    [timeline] = timelines([], sealed)
    last = timeline.loosened[-1][1] if timeline.loosened else timeline.mode
    assert [trip.mode for trip in fold([], sealed).in_force] == ([last] if last != "on" else [])
