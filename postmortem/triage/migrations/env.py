"""Alembic's entry: the connection comes from store.py, which holds the lock."""

from __future__ import annotations

from alembic import context

from postmortem.triage.store import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()
