"""What is sent now: properties of the rate limit and of the pauses."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.respond.config import RespondConfig
from pipeline.respond.plan import SUMMARY, Message, backoff_ms, plan

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


@given(st.integers(1, 10_000), st.text(max_size=20))
def test_pauses_double_up_to_the_longest_and_are_the_same_each_time(failures: int, name: str) -> None:
    config = RespondConfig(backoff_first_s=1, backoff_max_s=300)
    pause_ms = backoff_ms(name, failures, config)
    full_ms = min(1_000 * 2 ** min(failures - 1, 30), 300_000)
    assert 0.75 * full_ms - 1 <= pause_ms <= full_ms
    assert pause_ms == backoff_ms(name, failures, config)
