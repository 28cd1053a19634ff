"""What all guards of a process share: each begins anew in a forked child, and says goodbye at the end."""

import atexit
import os
import weakref
from typing import Protocol


class Living(Protocol):
    """A guard's core."""

    def restart(self) -> None:
        """Begin anew in a forked child."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


_living: "weakref.WeakSet[Living]" = weakref.WeakSet()


def keep_track(core: Living) -> None:
    """From now on, until it is gone."""
    _living.add(core)


def _restart_all() -> None:
    for core in list(_living):
        core.restart()


def _close_all() -> None:
    for core in list(_living):
        core.close()


os.register_at_fork(after_in_child=_restart_all)
atexit.register(_close_all)
