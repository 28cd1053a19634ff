"""The state database's schema: made where there is none, compared with what this version needs, moved between
versions by the migrations beside this file.

`schema_version` says which version the tables have; a migration's own record is made from it and not read.
The functions take part in a transaction that the caller began: a migration happens whole or not at all.
"""

from sqlalchemy import Connection, insert, inspect, select, update

from pipeline.errors import StoreError
from pipeline.respond import tables

FIRST_VERSION = 3
"""The oldest schema that can be upgraded, and the furthest that a downgrade goes."""
UPGRADE = "auditfuse state upgrade"


def stored_version(connection: Connection) -> int | None:
    """The version of the tables; None where there are none."""
    if not inspect(connection).has_table(tables.schema_version.name):
        return None
    return connection.scalar(select(tables.schema_version.c.version))


def create(connection: Connection) -> int:
    """Make the tables where there are none; returns the version of those that are there then."""
    version = stored_version(connection)
    if version is not None:
        return version
    tables.metadata.create_all(connection)
    connection.execute(insert(tables.schema_version).values(version=tables.SCHEMA_VERSION))
    return tables.SCHEMA_VERSION


def needs(version: int | None) -> str | None:
    """What has to be done before this code can work with tables of that version; None: nothing."""
    needed = tables.SCHEMA_VERSION
    if version is None:
        return f"it has no tables yet; the first run makes them, or {UPGRADE}"
    if version > needed:
        return (
            f"this auditfuse knows schema {needed} at most; run the version that wrote it, or with that "
            f"version go back: auditfuse state downgrade --to {needed}"
        )
    if version < FIRST_VERSION:
        return "it is of before the first release; make a new one"
    return f"this auditfuse needs schema {needed}: {UPGRADE}" if version < needed else None


def check(version: int) -> None:
    """Raises StoreError, with the way out, for a version that this code does not work with."""
    remedy = needs(version)
    if remedy is not None:
        raise StoreError(f"the state database has schema {version}; {remedy}")


def migrate(connection: Connection, target: int = tables.SCHEMA_VERSION) -> int:
    """Move the tables to another version, forth or back; returns the version that they had.

    Raises StoreError where there are none, where this code does not know their version or that one, or where
    what is stored cannot be told in the older tables.
    """
    version = stored_version(connection)
    if version is None:
        raise StoreError("the state database has no tables yet; the first run makes them")
    if version == target:
        return version
    for known in (version, target):
        if not FIRST_VERSION <= known <= tables.SCHEMA_VERSION:
            raise StoreError(
                f"schema {known} of the state database is not known to this auditfuse, which knows "
                f"{FIRST_VERSION} to {tables.SCHEMA_VERSION}; use the version that wrote it"
            )
    _run(connection, version, target)
    connection.execute(update(tables.schema_version).values(version=target))
    return version


def _run(connection: Connection, version: int, target: int) -> None:
    from alembic import command  # only who migrates pays for it
    from alembic.config import Config

    settings = Config(attributes={"connection": connection})
    settings.set_main_option("script_location", "pipeline.respond:migrations")
    command.stamp(settings, _revision(version), purge=True)
    move = command.upgrade if target > version else command.downgrade
    move(settings, _revision(target))


def _revision(version: int) -> str:
    return f"{version:04}"
