"""What the worker needs and finds away, what exists and should not, and what the forge keeps of a deployment."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("previews", sa.Column("report_after", sa.DateTime(timezone=True), nullable=True))
    op.add_column("previews", sa.Column("report_attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("previews", sa.Column("reporting_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("previews", sa.Column("reported_status", sa.Text(), nullable=True))
    op.add_column("previews", sa.Column("comment_rewritten_for", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "previews",
        sa.Column(
            "forge_deployments",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
    )
    op.add_column("previews", sa.Column("line_needs", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("previews", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("previews", sa.Column("place", sa.Integer(), nullable=True))
    op.add_column("previews", sa.Column("admitted_token", sa.Uuid(), nullable=True))
    op.add_column("previews", sa.Column("admitted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("previews", sa.Column("serving_routed", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "previews", sa.Column("serving_running", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False)
    )
    op.create_table(
        "rounds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), server_default="", nullable=False),
        sa.Column("unknown", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("rounds_pkey")),
    )
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
