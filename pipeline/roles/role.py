"""What a role is: stages that run until those before them are done, and then finish what is left."""

import asyncio
from collections.abc import Sequence
from typing import Literal, Protocol, get_args

from pipeline.errors import ConfigError

RoleName = Literal["ingest", "detect", "respond", "control"]
ALL_ROLES: frozenset[RoleName] = frozenset(get_args(RoleName))


class Role(Protocol):
    """One role of a process. In a process with several, each begins to end once the one before it is done."""

    def start(self) -> None:
        """Begin what needs no event loop and no other role. Returns soon."""
        ...

    async def run(self, done: asyncio.Event) -> None:
        """Work until `done`, and then until nothing is left. Raises what must end the process."""
        ...

    def close(self) -> None:
        """End what goes on until all roles have run to their end."""
        ...

    def readiness(self) -> dict[str, bool]:
        """What must hold before it does its work, by name."""
        ...

    def conditions(self) -> dict[str, str]:
        """What does not work although the rest goes on, by name, with the reason."""
        ...


def roles_of(texts: Sequence[str]) -> frozenset[RoleName]:
    """The roles that a command line names, each once or several with commas between; all without any.
    Raises ConfigError."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - ALL_ROLES)
    if unknown:
        raise ConfigError(f"--role {unknown[0]}: there is no such role; take {', '.join(get_args(RoleName))}")
    return frozenset(role for role in ALL_ROLES if role in names) or ALL_ROLES
