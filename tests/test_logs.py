"""What libraries log while a broker is away for days must not fill the disk."""

import logging

from pipeline.logs import SPARING_S, Sparing


def test_a_library_that_says_the_same_again_and_again_is_heard_now_and_then() -> None:
    now_s = [100.0]
    kept: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    handler = Kept()
    handler.addFilter(Sparing(lambda: now_s[0]))
    logger = logging.Logger("library")
    logger.addHandler(handler)
    for moment in range(400):
        now_s[0] = 100.0 + moment * SPARING_S / 200
        logger.error("cannot reach node %s", moment % 3)
    logger.error("something else")
    assert kept == [
        "cannot reach node 0",
        "cannot reach node 2 (and 199 more like it before)",
        "something else",
    ]
