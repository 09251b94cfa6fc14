"""Which images each preview uses: those that it shares with others go when no preview names them any more."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("serving_images", "candidate_images"):
        op.add_column("previews", sa.Column(name, postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
