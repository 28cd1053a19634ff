"""A clock that is set wrong for a while must not say that nothing older can come."""

from pipeline.clock import LeastClock

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


class Host:
    """Its two clocks."""

    def __init__(self) -> None:
        self.wall_ms, self.monotonic_s = START_MS, 500.0

    def pass_time(self, seconds: float) -> None:
        self.wall_ms += int(seconds * 1000)
        self.monotonic_s += seconds

    def least(self) -> LeastClock:
        return LeastClock(lambda: self.wall_ms, lambda: self.monotonic_s)


def test_a_step_forward_is_not_followed_and_a_step_back_is() -> None:
    host = Host()
    clock = host.least()
    host.pass_time(10)
    assert clock.now_ms() == START_MS + 10_000
    host.wall_ms += HOUR_MS
    assert clock.now_ms() == START_MS + 10_000
    host.pass_time(5)
    assert clock.now_ms() == START_MS + 15_000
    host.wall_ms -= HOUR_MS + 7_000
    assert clock.now_ms() == START_MS + 8_000


def test_a_step_forward_that_an_append_time_shows_is_followed() -> None:
    host = Host()
    clock = host.least()
    host.wall_ms += HOUR_MS
    clock.heard(START_MS - HOUR_MS)
    assert clock.now_ms() == START_MS
    clock.heard(START_MS + HOUR_MS - 2_000)
    host.pass_time(1)
    assert clock.now_ms() == START_MS + HOUR_MS - 1_000
