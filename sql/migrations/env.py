"""How Alembic runs our migrations: on the connection, and in the transaction, that sql/migrate.py opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from sql.models import Base

connection: sa.Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
