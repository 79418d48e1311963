"""How Alembic runs our migrations: on one connection, in one transaction, one process at a time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from sql.models import Base
from sql.queries import QUERIES

connection: sa.Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=False)
with context.begin_transaction():
    # released with the transaction: a second `aegis migrate` waits, then finds nothing to do
    connection.execute(sa.text(QUERIES["lock_migrations"]))
    context.run_migrations()
