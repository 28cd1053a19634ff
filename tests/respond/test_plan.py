"""What is sent now: properties of the rate limit and of the pauses."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.respond.config import RespondConfig
from pipeline.respond.plan import SUMMARY, Lately, Message, backoff_ms, plan, plan_round

messages = st.lists(
    st.builds(
        Message,
        seq=st.integers(0, 10_000),
        page_id=st.just("p"),
        target=st.just("t"),
        change=st.just("opened"),
        incident_id=st.just("inc"),
        severity_rank=st.integers(0, 2),
        attempts=st.integers(0, 3),
        created_at_ms=st.just(0),
        resolved=st.booleans(),
    ),
    max_size=40,
    unique_by=lambda message: message.seq,
)


@given(messages, st.integers(-3, 12))
def test_no_more_than_the_budget_goes_out_and_the_worst_first(due: list[Message], budget: int) -> None:
    planned = plan(due, budget)
    sent = len(planned.single) + bool(planned.bundled)
    assert sent <= max(budget, 0)
    chosen = [*planned.single, *planned.bundled]
    assert len({message.seq for message in chosen}) == len(chosen)
    ranks = [message.severity_rank for message in planned.single]
    assert ranks == sorted(ranks, reverse=True)
    if budget > 1:
        assert len(chosen) == len(due)  # everything is told
    live = [message.severity_rank for message in due if not message.resolved]
    if live and planned.single:
        assert planned.single[0].severity_rank >= max(live)
    assert len(planned.bundled) != 1


@given(messages)
def test_a_summary_is_never_put_into_another(due: list[Message]) -> None:
    summary = Message(
        seq=-1,
        page_id="s",
        target="t",
        change=SUMMARY,
        incident_id=None,
        severity_rank=0,
        attempts=0,
        created_at_ms=0,
        resolved=False,
    )
    assert summary not in plan([*due, summary], 2).bundled


def incident(seq: int, rank: int, at_ms: int = 0, *, tripped: bool = False) -> Message:
    return Message(
        seq=seq,
        page_id=f"inc_{seq}-1/1",
        target="t",
        change="opened",
        incident_id=f"inc_{seq}-1",
        severity_rank=rank,
        attempts=0,
        created_at_ms=at_ms,
        resolved=False,
        tripped=tripped,
    )


WAIT_MS = 75_000


def test_a_storm_begins_with_two_pages_and_tells_the_rest_when_it_is_known() -> None:
    storm = [incident(n, 1) for n in range(50)]
    first = plan_round(storm, Lately(), 10, WAIT_MS, 1_000)
    assert ([one.seq for one in first.single], first.bundled) == ([0, 1], [])
    told = Lately(in_minute=2, in_storm=2, worst=2)
    assert plan_round(storm[2:], told, 10, WAIT_MS, 30_000).single == []
    rest = plan_round(storm[2:], Lately(in_minute=0, in_storm=2, worst=2), 10, WAIT_MS, WAIT_MS)
    assert len(rest.single) + bool(rest.bundled) + 2 <= 10
    assert len(rest.single) + len(rest.bundled) == 48


def test_what_is_worse_than_a_storm_so_far_waits_for_nothing() -> None:
    storm = [incident(n, 1) for n in range(50)]
    told = Lately(in_minute=2, in_storm=2, worst=2)
    worse = [incident(100, 2), incident(101, 2), incident(102, 2, tripped=True)]
    planned = plan_round([*storm, *worse], told, 10, WAIT_MS, 30_000)
    assert [one.seq for one in planned.single] == [102]
    told = Lately(in_minute=3, in_storm=3, worst=5)
    assert plan_round([*storm, *worse[:2]], told, 10, WAIT_MS, 31_000).single == []


def test_a_few_at_a_time_are_no_storm() -> None:
    due = [incident(n, 1) for n in range(5)]
    assert len(plan_round(due, Lately(), 10, WAIT_MS, 0).single) == 5
    assert len(plan_round([*due, incident(9, 1)], Lately(), 10, WAIT_MS, 0).single) == 2


@given(st.integers(1, 10_000), st.text(max_size=20))
def test_pauses_double_up_to_the_longest_and_are_the_same_each_time(failures: int, name: str) -> None:
    config = RespondConfig(backoff_first_s=1, backoff_max_s=300)
    pause_ms = backoff_ms(name, failures, config)
    full_ms = min(1_000 * 2 ** min(failures - 1, 30), 300_000)
    assert 0.75 * full_ms - 1 <= pause_ms <= full_ms
    assert pause_ms == backoff_ms(name, failures, config)
