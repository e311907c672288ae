"""The first schema: inputs, buckets, keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "inputs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger),
        sa.Column("kind", sa.String(8)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("what", sa.Text),
        sa.Column("signature", sa.String(64)),
        sa.Column("exact", sa.String(64)),
        sa.Column("bucket", sa.String(64), index=True),
        sa.Column("time", sa.Float),
        sa.Column("run", sa.String(32), index=True),
        sa.Column("crash", sa.LargeBinary),
    )
    op.create_table(
        "buckets",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("regressed_run", sa.String(32)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("fixed_in", sa.Text),
        sa.Column("fixed_at", sa.Float),
        sa.Column("ticket", sa.Text),
        sa.Column("notes", sa.Text),
    )
    op.create_table(
        "keys",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("bucket", sa.String(64), nullable=False, index=True),
    )
