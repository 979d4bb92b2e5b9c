"""Alembic runs this: on the connection, and in the transaction, that `upgrade` has."""

from __future__ import annotations

from alembic import context

from gateway.shadow.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
