"""Links: what people made one. Buckets are made anew from all crashes each time, so a merge is kept by its crashes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table. What is in one bucket by several signatures may have been put there by people, and stays."""
    links = op.create_table(
        "links",
        sa.Column("part", sa.String(64), primary_key=True),
        sa.Column("whole", sa.String(64), primary_key=True),
    )
    inputs = sa.table("inputs", *map(sa.column, ("id", "signature", "bucket", "state")))
    rows = op.get_bind().execute(
        sa.select(inputs.c.bucket, inputs.c.signature, sa.func.min(inputs.c.id))
        .where(inputs.c.bucket.is_not(None), inputs.c.state == "analyzed")
        .group_by(inputs.c.bucket, inputs.c.signature)
    )
    members: dict[str, dict[str, str]] = {}
    for bucket, signature, member in rows:
        members.setdefault(bucket, {})[signature] = member
    made = []
    for bucket, found in members.items():
        whole = found.get(bucket) or min(found.values())
        made += [{"part": member, "whole": whole} for member in found.values() if member != whole]
    if made:
        op.bulk_insert(links, made)
