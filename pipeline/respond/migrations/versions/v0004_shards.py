"""Consumed ends of several detect processes: one more column in their key.

The column has a default, so that a process of the version before, which does not know it, writes on.
"""

import sqlalchemy as sa
from alembic import op

from pipeline.errors import StoreError

revision = "0004"
down_revision = "0003"

ALL = "all"
_PLACE = ("topic_id", "partition")


def upgrade() -> None:
    """What is stored was consumed for all agents."""
    if op.get_bind().dialect.name == "sqlite":
        _make_anew(sa.Column("shard", sa.String(), nullable=False, server_default=ALL))
        return
    op.add_column("consumed", sa.Column("shard", sa.String(), nullable=False, server_default=ALL))
    op.drop_constraint("consumed_pkey", "consumed")
    op.create_primary_key("consumed_pkey", "consumed", ["shard", *_PLACE])


def downgrade() -> None:
    """Raises StoreError where several processes share the agents: older tables cannot tell that."""
    consumed = sa.table("consumed", sa.column("shard", sa.String()))
    others = sa.select(consumed.c.shard).where(consumed.c.shard != ALL).distinct()
    if shards := op.get_bind().scalars(others.order_by(consumed.c.shard)).all():
        raise StoreError(
            f"schema 3 knows no shards, and {len(shards)} have consumed rows (as {shards[0]}); run detection "
            "in one process again before you go back"
        )
    if op.get_bind().dialect.name == "sqlite":
        _make_anew()
        return
    op.drop_constraint("consumed_pkey", "consumed")
    op.drop_column("consumed", "shard")
    op.create_primary_key("consumed_pkey", "consumed", list(_PLACE))


def _make_anew(*more: sa.Column[str]) -> None:
    """SQLite changes no key in place."""
    op.rename_table("consumed", "consumed_before")
    op.create_table(
        "consumed",
        *more,
        sa.Column("topic_id", sa.String(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("sealed_end", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*(column.name for column in more), *_PLACE),
    )
    columns = ", ".join((*_PLACE, "sealed_end"))
    op.execute(f"INSERT INTO consumed ({columns}) SELECT {columns} FROM consumed_before")  # noqa: S608
    op.drop_table("consumed_before")
