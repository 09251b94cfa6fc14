"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("repository", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("deliveries_pkey")),
    )
    op.create_index("deliveries_at_idx", "deliveries", ["at"], unique=False)
    op.create_table(
        "deployments",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("repository", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column(
            "failed_step",
            sa.Enum(
                "source",
                "build",
                "database",
                "environment",
                "launch",
                "probe",
                "teardown",
                name="step",
                native_enum=False,
                length=16,
            ),
            nullable=True,
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("remedy", sa.Text(), server_default="", nullable=False),
        sa.Column("log_tail", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("notes", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("deployments_pkey")),
    )
    op.create_index("deployments_preview_idx", "deployments", ["repository", "number", "id"], unique=False)
    op.create_table(
        "previews",
        sa.Column("repository", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("repository_name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("author", sa.Text(), server_default="", nullable=False),
        sa.Column("branch", sa.Text(), server_default="", nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("settled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("forced", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "building",
                "preparing",
                "starting",
                "ready",
                "waiting",
                "failed",
                "sleeping",
                "removing",
                "removed",
                name="state",
                native_enum=False,
                length=16,
            ),
            server_default="queued",
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("commit", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("secrets", sa.LargeBinary(), nullable=True),
        sa.Column("serving_commit", sa.Text(), nullable=True),
        sa.Column("serving_upstream", sa.Text(), nullable=True),
        sa.Column("serving_containers", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("candidate_commit", sa.Text(), nullable=True),
        sa.Column("candidate_upstream", sa.Text(), nullable=True),
        sa.Column("probe_token", sa.Text(), nullable=True),
        sa.Column("comment_id", sa.BigInteger(), nullable=True),
        sa.Column("reported", sa.Text(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("repository", "number", name=op.f("previews_pkey")),
        sa.UniqueConstraint("host", name=op.f("previews_host_key")),
    )
    op.create_table(
        "subnets",
        sa.Column("subnet", postgresql.CIDR(), nullable=False),
        sa.Column("network", sa.Text(), nullable=True),
        sa.Column("repository", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("subnet", name=op.f("subnets_pkey")),
        sa.UniqueConstraint("network", name=op.f("subnets_network_key")),
    )
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("repository", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column(
            "source",
            sa.Enum(
                "queued",
                "building",
                "preparing",
                "starting",
                "ready",
                "waiting",
                "failed",
                "sleeping",
                "removing",
                "removed",
                name="state",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column(
            "target",
            sa.Enum(
                "queued",
                "building",
                "preparing",
                "starting",
                "ready",
                "waiting",
                "failed",
                "sleeping",
                "removing",
                "removed",
                name="state",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("transitions_pkey")),
    )
    op.create_index("transitions_preview_idx", "transitions", ["repository", "number", "id"], unique=False)
    op.create_table(
        "logs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("deployment", sa.BigInteger(), nullable=False),
        sa.Column(
            "step",
            sa.Enum(
                "source",
                "build",
                "database",
                "environment",
                "launch",
                "probe",
                "teardown",
                name="step",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.id"], name=op.f("logs_deployment_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("logs_pkey")),
    )
    op.create_index("logs_deployment_idx", "logs", ["deployment", "id"], unique=False)
    op.create_table(
        "steps",
        sa.Column("deployment", sa.BigInteger(), nullable=False),
        sa.Column(
            "step",
            sa.Enum(
                "source",
                "build",
                "database",
                "environment",
                "launch",
                "probe",
                "teardown",
                name="step",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.id"], name=op.f("steps_deployment_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment", "step", name=op.f("steps_pkey")),
    )


def downgrade() -> None:
    op.drop_table("steps")
    op.drop_index("logs_deployment_idx", table_name="logs")
    op.drop_table("logs")
    op.drop_index("transitions_preview_idx", table_name="transitions")
    op.drop_table("transitions")
    op.drop_table("subnets")
    op.drop_table("previews")
    op.drop_index("deployments_preview_idx", table_name="deployments")
    op.drop_table("deployments")
    op.drop_index("deliveries_at_idx", table_name="deliveries")
    op.drop_table("deliveries")
