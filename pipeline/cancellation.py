"""Telling the end of a task from what only looks like it."""

import asyncio


def is_cancelled(error: BaseException) -> bool:
    """Whether this task is to end. What a library has cancelled of its own, and lets through, looks alike."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)
