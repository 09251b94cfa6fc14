"""What the worker needs and finds away, what exists and should not, and what the forge keeps of a deployment."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("previews", sa.Column("report_after", sa.DateTime(timezone=True), nullable=True))
    op.add_column("previews", sa.Column("forge_deployment", sa.BigInteger(), nullable=True))
    op.create_table(
        "dependencies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fault", sa.Text(), server_default="", nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("dependencies_pkey")),
    )
    op.create_table(
        "leaks",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("preview", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("leaks_pkey")),
    )
