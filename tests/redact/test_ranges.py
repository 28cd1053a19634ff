"""Ranges against a set of characters."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.redact.ranges import Ranges

SPANS = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(SPANS), st.lists(SPANS), SPANS)
def test_outside_is_set_difference(
    given_: list[tuple[int, int]], later: list[tuple[int, int]], asked: tuple[int, int]
):
    ranges, covered = Ranges(given_), {i for a, b in given_ for i in range(a, b)}
    for span in later:
        for part in ranges.outside(*span):
            ranges.add(*part)
        covered |= set(range(*span))
    parts = ranges.outside(*asked)
    assert [i for a, b in parts for i in range(a, b)] == sorted(set(range(*asked)) - covered)
    assert all(a < b for a, b in parts)
