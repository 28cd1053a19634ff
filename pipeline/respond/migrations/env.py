"""Run by alembic: takes part in the transaction that pipeline.respond.schema began."""

from alembic import context

from pipeline.respond import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.metadata)
context.run_migrations()
