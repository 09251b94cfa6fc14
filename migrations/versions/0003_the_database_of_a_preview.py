"""What is known of a preview's database: what has been applied to it, what may have to be taken back, who waits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("previews", sa.Column("reset_requested", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("previews", sa.Column("database", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column("previews", sa.Column("line_joined_at", sa.DateTime(timezone=True), nullable=True))
