"""Windows: which minute an event belongs to, and the overlapping minutes that floors count in."""

MINUTE_MS = 60_000
STEP_MS = 30_000
"""Floor windows are a minute long and begin every step, so that no 30 seconds are split by all of them."""
STEPS_PER_WINDOW = MINUTE_MS // STEP_MS
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def windows_of(step: int) -> range:
    """The first steps of the windows that contain `step`, earliest first."""
    return range(step - STEPS_PER_WINDOW + 1, step + 1)


def steps_of(window: int) -> range:
    """The steps of the window that begins at step `window`."""
    return range(window, window + STEPS_PER_WINDOW)
