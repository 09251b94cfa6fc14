"""The tables of previewd's own Postgres: the only truth. `migrations/` builds them; a test holds the two together."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, CIDR, JSONB

from orchestrator.preview.state import State, Step

CHANNEL = "previewd"
"""Postgres notifies here, with the preview's id, whenever a preview's row has changed."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
    }
)

# Text with a check in code, not a Postgres enum: adding a state must not need a migration that old workers trip over.
_state = Enum(State, native_enum=False, length=16, values_callable=lambda states: [s.value for s in states])
_step = Enum(Step, native_enum=False, length=16, values_callable=lambda steps: [s.value for s in steps])


def _now() -> Column[object]:
    return Column("at", DateTime(timezone=True), nullable=False, server_default=func.now())


deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True, doc="X-GitHub-Delivery: the same again when a delivery is repeated"),
    Column("event", Text, nullable=False),
    Column("action", Text),
    Column("repository", BigInteger),
    Column("number", Integer),
    Column("outcome", Text, nullable=False, doc="accepted or ignored"),
    Column("reason", Text, nullable=False),
    Column("times", Integer, nullable=False, server_default="1"),
    _now(),
    Index("deliveries_at_idx", "at"),
)

previews = Table(
    "previews",
    metadata,
    Column("repository", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("repository_name", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("author", Text, nullable=False, server_default=""),
    Column("branch", Text, nullable=False, server_default=""),
    Column("host", Text, nullable=False, unique=True),
    Column("generation", BigInteger, nullable=False, server_default="1", doc="bumped by every hint"),
    Column("settled", BigInteger, nullable=False, server_default="0", doc="the generation that was acted upon"),
    Column("forced", BigInteger, nullable=False, server_default="0", doc="deploy again even when nothing changed"),
    Column("reset_requested", BigInteger, nullable=False, server_default="0", doc="… and with a new database"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("retry_at", DateTime(timezone=True), doc="not before then is a failed attempt repeated"),
    Column("state", _state, nullable=False, server_default=State.QUEUED.value),
    Column("reason", Text, nullable=False, server_default=""),
    Column("commit", Text, doc="the newest commit that was asked to run"),
    Column("lease_token", Uuid),
    Column("lease_expires_at", DateTime(timezone=True)),
    Column("database", JSONB(none_as_null=True), doc="`record.DatabaseRecord`: what is known of its database"),
    Column("line_joined_at", DateTime(timezone=True), doc="since then it waits for what the machine has none left of"),
    Column("line_needs", ARRAY(Text), nullable=False, server_default="{}", doc="what it turned out to need, in line"),
    Column("waits_for", Text, doc="`orchestrator.preview.state.Resource`: what it lacks, while it stands in line"),
    Column("place", Integer, doc="… and its place among those who lack the same, from 1 on"),
    Column("admitted_token", Uuid, doc="the lease under which it was let in: it has a slot while it holds that one"),
    Column("admitted_at", DateTime(timezone=True), doc="when it was let in last"),
    Column("secrets", LargeBinary, doc="encrypted JSON: passwords and keys that stay the same across pushes"),
    Column("serving_commit", Text),
    Column("serving_upstream", Text, doc="address:port of the container behind the host"),
    Column("serving_routed", Text, nullable=False, server_default="", doc="name:port of that container"),
    Column("serving_containers", ARRAY(Text), nullable=False, server_default="{}", doc="names; no other one is kept"),
    Column("serving_running", ARRAY(Text), nullable=False, server_default="{}", doc="… those that ran when it began"),
    Column("serving_images", ARRAY(Text), nullable=False, server_default="{}", doc="names; what serves was made of"),
    Column("candidate_commit", Text),
    Column("candidate_upstream", Text, doc="asked by the probe only, before it serves"),
    Column("candidate_images", ARRAY(Text), nullable=False, server_default="{}", doc="names, before they are built"),
    Column("probe_token", Text, doc="whoever shows it is routed to the candidate"),
    Column("comment_id", BigInteger),
    Column("comment_rewritten_for", DateTime(timezone=True), doc="the updated_at for which a deleted one came back"),
    Column("reported", Text, doc="hash of what the comment last said"),
    Column("reported_status", Text, doc="hash of what the commit status last said"),
    Column("reported_at", DateTime(timezone=True), doc="the updated_at that it was told of"),
    Column("report_after", DateTime(timezone=True), doc="not before then is the forge told again: it refused"),
    Column("report_attempts", Integer, nullable=False, server_default="0", doc="how often it refused"),
    Column("reporting_until", DateTime(timezone=True), doc="somebody tells the forge, at most until then"),
    Column(
        "forge_deployments", JSONB, nullable=False, server_default="{}", doc="by commit: id there, and what it says"
    ),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("repository", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("commit", Text, nullable=False),
    Column("outcome", Text, doc="ready, failed, superseded, interrupted or waiting; nothing while it runs"),
    Column("failed_step", _step),
    Column("reason", Text, nullable=False, server_default=""),
    Column("remedy", Text, nullable=False, server_default=""),
    Column("log_tail", ARRAY(Text), nullable=False, server_default="{}"),
    Column("notes", ARRAY(Text), nullable=False, server_default="{}", doc="what was stripped, replaced or left empty"),
    Column("wiring", JSONB(none_as_null=True), doc="`preview.records.Wiring`: how the stack came to its database"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    Index("deployments_preview_idx", "repository", "number", "id"),
)

steps = Table(
    "steps",
    metadata,
    Column("deployment", ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("step", _step, primary_key=True),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("repository", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("source", _state, nullable=False),
    Column("target", _state, nullable=False),
    Column("reason", Text, nullable=False),
    _now(),
    Index("transitions_preview_idx", "repository", "number", "id"),
)

logs = Table(
    "logs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("deployment", ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
    Column("step", _step, nullable=False),
    Column("line", Text, nullable=False),
    _now(),
    Index("logs_deployment_idx", "deployment", "id"),
)

subnets = Table(
    "subnets",
    metadata,
    Column("subnet", CIDR, primary_key=True),
    Column("network", Text, doc="nothing when something else on this host uses the subnet"),
    Column("repository", BigInteger),
    Column("number", Integer),
    _now(),
    UniqueConstraint("network"),
)

database_usage = Table(
    "database_usage",
    metadata,
    Column("repository", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("bytes", BigInteger, nullable=False),
    Column("limit_bytes", BigInteger, nullable=False),
    Column("connections", Integer, nullable=False),
    Column("connection_limit", Integer, nullable=False),
    Column("is_crowded", Boolean, nullable=False),
    Column("ended", Text, nullable=False, server_default="", doc="the session that the watchdog ended last, and why"),
    Column("ended_at", DateTime(timezone=True)),
    Column("measured_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

server_usage = Table(
    "server_usage",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, doc="1: there is one server"),
    Column("usable", Integer, nullable=False),
    Column("promised", Integer, nullable=False),
    Column("in_use", Integer, nullable=False),
    Column("databases", Integer, nullable=False),
    Column("measured_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

backups = Table(
    "backups",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("repository", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("file", Text, nullable=False, server_default="", doc="its name in the preview's folder; empty: it failed"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default=""),
    _now(),
    Index("backups_preview_idx", "repository", "number", "id"),
)

backup_schedules = Table(
    "backup_schedules",
    metadata,
    Column("repository", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("every_seconds", BigInteger, nullable=False),
    Column("keep", Integer, nullable=False, doc="how many backups are kept, the newest"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

dependencies = Table(
    "dependencies",
    metadata,
    Column("name", Text, primary_key=True, doc="what the worker needs: `engine`, `previews-postgres`, `github`, …"),
    Column("fault", Text, nullable=False, server_default="", doc="what is wrong with it; nothing while it answers"),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now(), doc="so it is since then"),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now(), doc="when a worker looked"),
)

rounds = Table(
    "rounds",
    metadata,
    Column("name", Text, primary_key=True, doc="`reconcile`, or `forge`, where pull requests are listed more seldom"),
    Column("by", Text, nullable=False, server_default="", doc="host and process of the worker"),
    Column("unknown", ARRAY(Text), nullable=False, server_default="{}", doc="what nobody could say in that round"),
    _now(),  # of `forge`: when they may be listed again
)

leaks = Table(
    "leaks",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("preview", Text, nullable=False, server_default="", doc="whose it was, if anything says so"),
    Column("reason", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now(), doc="first seen by a round"),
)
