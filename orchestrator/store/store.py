"""All writes to previewd's own Postgres. Called by the receiver and the worker; reading for people is in `views`.

A worker writes only under a lease: each write takes the preview's row and looks at the token first, on the database's
clock. A worker that lost its lease gets LeaseLost and has no further effect.
"""

import asyncio
import contextlib
import ipaddress
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import (
    BigInteger,
    Column,
    Executable,
    Integer,
    Row,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from orchestrator.admission import line, words
from orchestrator.admission.line import Entry, fair_order
from orchestrator.databases.record import DatabaseRecord
from orchestrator.preview.errors import AuthorError, LeaseLost, NoRoom, OperatorError, PreviewdError
from orchestrator.preview.records import Wiring
from orchestrator.preview.state import PreviewId, State, Step, may_move
from orchestrator.preview.trust import Pull
from orchestrator.runtime import fence
from orchestrator.runtime.fence import LEASE_SECONDS, Fence
from orchestrator.store.backups import Backups, forget_all
from orchestrator.store.conditions import is_free, of, this
from orchestrator.store.connection import autocommit
from orchestrator.store.health import DependencyHealth
from orchestrator.store.known import Looks
from orchestrator.store.leaks import Leaks
from orchestrator.store.line import Line, Standing, around, judged
from orchestrator.store.reports import Reports
from orchestrator.store.tables import CHANNEL, deployments, logs, previews, steps, subnets, transitions
from orchestrator.store.templates import Templates, look_again
from orchestrator.store.usage import Usage

CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 30.0
"""How long Postgres may take for one statement: the longest that we send is one of a migration."""
POOL_SECONDS = 10.0
"""How long one waits for a connection that another uses."""

DATABASE_FAULTS: tuple[type[Exception], ...] = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What comes out of here and of the views when Postgres does not answer, or has not our tables."""

_LEASE = timedelta(seconds=LEASE_SECONDS)

_SESSION = {"idle_in_transaction_session_timeout": f"{LEASE_SECONDS * 1000:.0f}"}
"""A worker that is frozen in a transaction holds the preview's row: Postgres ends its session with its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook delivery, as it is recorded."""

    id: str
    event: str
    action: str | None
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Somebody said that this pull request should be looked at. `hosts` are tried in order; they must be free."""

    preview: PreviewId
    repository_name: str
    title: str
    author: str
    branch: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A delivery that was new. `generation` is what its hint raised its preview to; None when it had no hint."""

    generation: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to act on one preview, until it is not renewed in time."""

    preview: PreviewId
    token: uuid.UUID
    fence: Fence = field(default_factory=Fence, compare=False, repr=False)
    """What stops the effects that no token can stop: `store` extends it, and who acts asks it."""


def connect(url: str, pool_size: int = 5, *, ping: bool = True) -> AsyncEngine:
    """Open previewd's own database. `url` is in asyncpg's form.

    With `ping` a connection is tried before it is used, at the price of one more way to Postgres and back. Nothing
    waits for ever: not for a connection, not for one of the pool's, and not for the answer to a statement.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=ping,
        pool_recycle=300,
        pool_timeout=POOL_SECONDS,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": _SESSION,
        },
    )


class Store:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._autocommit = autocommit(engine)
        self.backups = Backups(engine)
        self.usage = Usage(engine)
        self.leaks = Leaks(engine)
        self.line = Line(engine)
        self.looks = Looks(engine)
        self.reports = Reports(engine)
        self.health = DependencyHealth(engine)
        self.templates = Templates(engine)
        self._judging = asyncio.Lock()
        """Of this process one at a time stands before the line's lock: each who does holds a connection."""

    # The receiver

    async def record(self, delivery: Delivery, hint: Hint | None) -> Recorded | None:
        """Record a delivery and bump the generation of the preview that it names, both or neither.

        None when this delivery was recorded before: it then changes nothing.
        """
        values = _delivery_values(delivery) | _hint_values(hint)
        for host in hint.hosts if hint else ("",):
            try:
                return await self._record(values | {"host": host})
            except IntegrityError:
                continue  # another repository of this name has the host
        raise OperatorError(
            f"every host for preview {values['preview']} is taken", "make PREVIEWD_HOST_TEMPLATE more specific"
        )

    async def _record(self, values: Mapping[str, object]) -> Recorded | None:
        try:
            row = await self._execute_at_once(_RECORD, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The pool's connections are older than the server that runs now. The id makes a repetition harmless.
            row = await self._execute_at_once(_RECORD, values)
        return Recorded(generation=row.generation) if row.times == 1 else None

    async def _execute_at_once(self, statement: Executable, values: Mapping[str, object]) -> Row[Any]:
        async with self._autocommit.connect() as connection:
            return (await connection.execute(statement, values)).one()

    async def force(self, preview: PreviewId) -> int | None:
        """Ask for a deployment even when nothing changed; its generation, or None when there is no such preview."""
        return await self._ask_again(preview, previews.c.forced)

    async def request_reset(self, preview: PreviewId) -> int | None:
        """Ask for a deployment with a new database; its generation, or None when there is no such preview."""
        return await self._ask_again(preview, previews.c.forced, previews.c.reset_requested)

    async def _ask_again(self, preview: PreviewId, *asked: Column[Any]) -> int | None:
        following = previews.c.generation + 1
        async with self._engine.begin() as connection:
            generation: int | None = await connection.scalar(
                update(previews)
                .where(this(preview))
                .values(
                    {previews.c.generation: following, previews.c.retry_at: None, **dict.fromkeys(asked, following)}
                )
                .returning(previews.c.generation)
            )
            await _notify(connection, preview)
            return generation

    async def look_again(self, repositories: Collection[int] | None) -> list[tuple[PreviewId, int]]:
        """Have every live preview of these repositories looked at, of all for None; each with its generation."""
        of_them = true() if repositories is None else previews.c.repository.in_(repositories)
        async with self._engine.begin() as connection:
            rows = await connection.execute(
                update(previews)
                .where(previews.c.state != State.REMOVED, of_them)
                .values(generation=previews.c.generation + 1, attempts=0, retry_at=None)
                .returning(previews.c.repository, previews.c.number, previews.c.generation)
            )
            return [(PreviewId(row.repository, row.number), row.generation) for row in rows]

    # Leases

    async def acquire(self, preview: PreviewId) -> Lease | None:
        """Take the lease, or None while somebody holds it or nothing is to be done."""
        return await self._take(preview, _is_due())

    async def borrow(self, preview: PreviewId) -> Lease | None:
        """Take the lease though nothing is to be done, so that nobody else acts; None while somebody holds it."""
        return await self._take(preview, is_free())

    async def _take(self, preview: PreviewId, condition: Any) -> Lease | None:
        lease = Lease(preview=preview, token=uuid.uuid4())
        sent_at = lease.fence.clock()
        async with self._autocommit.connect() as connection:
            result = await connection.execute(
                update(previews)
                .where(this(preview), condition)
                .values(lease_token=lease.token, lease_expires_at=func.now() + _LEASE)
            )
        if not result.rowcount:
            return None
        lease.fence.extend(sent_at)
        return lease

    async def renew(self, lease: Lease) -> int:
        """Keep the lease for another term and return the newest generation. Raises LeaseLost."""
        sent_at = lease.fence.clock()
        async with self._autocommit.connect() as connection:
            generation = await connection.scalar(
                update(previews)
                .where(_holds(lease))
                .values(lease_expires_at=func.now() + _LEASE)
                .returning(previews.c.generation)
            )
        if generation is None:
            raise _lost(lease)
        lease.fence.extend(sent_at)
        return int(generation)

    async def keep(self, lease: Lease) -> int | None:
        """The same for as long as it surely holds anyway: None when Postgres does not answer, which may be short."""
        try:
            return await self.renew(lease)
        except DATABASE_FAULTS:
            if lease.fence.is_up:
                return None
            raise

    async def release(self, lease: Lease) -> bool:
        """Give the lease back, and with it the slot; after this nothing more may happen under it.

        Whether others may find room now: it had a slot, or nothing to wait for. Nothing is done for a lease that was
        lost. One that cannot be given back, because Postgres is away, runs out by itself: that is no error of its own.
        """
        lease.fence.fall()
        row = None
        with contextlib.suppress(*DATABASE_FAULTS):
            async with self._autocommit.connect() as connection:
                result = await connection.execute(
                    update(previews)
                    .where(_holds(lease))
                    .values(lease_token=None, lease_expires_at=None)
                    .returning(previews.c.admitted_token, previews.c.line_joined_at)
                )
                row = result.one_or_none()
        return row is not None and (row.admitted_token == lease.token or row.line_joined_at is None)

    # A preview, under its lease

    async def own(self, lease: Lease) -> Row[Any]:
        """The preview's row, read under the lease."""
        async with self._autocommit.connect() as connection:
            row = (await connection.execute(select(previews).where(_holds(lease)))).one_or_none()
        if row is None:
            raise _lost(lease)
        return row

    async def refresh(self, lease: Lease, pull: Pull) -> None:
        """Take over what the forge says about the pull request."""
        async with self._owned(lease) as (connection, row):
            values = {
                "repository_name": pull.repository_name,
                "title": pull.title,
                "author": pull.author,
                "branch": pull.head_branch,
            }
            if any(getattr(row, name) != value for name, value in values.items()):
                await _change(connection, lease.preview, values)

    async def advance(self, lease: Lease, target: State, reason: str, **values: object) -> None:
        """Move to `target` and record why: the only way in which a state changes."""
        async with self._owned(lease) as (connection, row):
            await _advance(connection, row, target, reason, values)

    async def settle(self, lease: Lease, generation: int) -> None:
        """Note that everything up to `generation` was acted upon."""
        async with self._owned(lease) as (connection, _):
            await connection.execute(
                update(previews)
                .where(this(lease.preview))
                .values(settled=func.greatest(previews.c.settled, generation), attempts=0, retry_at=None)
            )

    async def postpone(self, lease: Lease, reason: str, seconds: float, *, counts: bool = True) -> int:
        """Try again in `seconds`; returns how many attempts there were, with this one if it `counts`."""
        async with self._owned(lease) as (connection, row):
            if row.state in _ON_ITS_WAY:
                await _advance(connection, row, State.QUEUED, reason, {})
            attempts = await connection.scalar(
                update(previews)
                .where(this(lease.preview))
                .values(
                    attempts=previews.c.attempts + int(counts),
                    retry_at=func.now() + timedelta(seconds=seconds),
                    place=None,  # in line nobody waits for it meanwhile
                )
                .returning(previews.c.attempts)
            )
        return int(attempts or 0)

    async def keep_secrets(self, lease: Lease, sealed: bytes) -> None:
        """Keep the preview's secrets, which the caller has encrypted."""
        async with self._owned(lease) as (connection, _):
            await connection.execute(update(previews).where(this(lease.preview)).values(secrets=sealed))

    async def keep_database(self, lease: Lease, record: DatabaseRecord) -> None:
        """Keep what is known of the preview's database."""
        async with self._owned(lease) as (connection, _):
            await connection.execute(update(previews).where(this(lease.preview)).values(database=record.stored()))

    async def let_in(
        self,
        lease: Lease,
        commit: str,
        reason: str,
        pool: ipaddress.IPv4Network,
        judge: Callable[[Standing, Entry], NoRoom | None],
    ) -> None:
        """Give the preview a slot and put it into the queue, unless `judge` finds that it has to wait.

        Nobody else is let in meanwhile. The slot lasts as long as the lease. Raises what `judge` answers.
        """
        async with self._judging, self._owned(lease) as (connection, row):
            refusal = judge(*await judged(connection, pool, lease.preview))
            if refusal is None:
                slot = {"admitted_token": lease.token, "admitted_at": func.clock_timestamp()}
                values = {"commit": commit, "place": None, "waits_for": None, **slot}
                await _advance(connection, row, State.QUEUED, reason, values)
            elif row.state is not State.WAITING:
                await _advance(connection, row, State.QUEUED, reason, {"commit": commit})
            elif row.commit != commit:
                await _change(connection, lease.preview, {"commit": commit})
        if refusal is not None:
            raise refusal

    async def join_line(self, lease: Lease, error: NoRoom, pool: ipaddress.IPv4Network, seconds: float) -> None:
        """Let the preview wait, since when it does already; it is called, or looks by itself in `seconds`."""
        async with self._owned(lease) as (connection, row):
            standing, own = await around(connection, pool, lease.preview)
            place = line.place_of(fair_order((*standing.line, own), standing.served), own, error.lacks)
            values = {
                "line_joined_at": own.joined_at,
                "line_needs": sorted({*row.line_needs, error.lacks}),
                "waits_for": error.lacks,
                "place": place,
                "retry_at": func.now() + timedelta(seconds=seconds),
            }
            reason = words.reason(error.lacks, place, error.message)
            await _advance(connection, row, State.WAITING, reason, values)

    async def set_candidate(self, lease: Lease, commit: str, upstream: str, token: str) -> None:
        """Let whoever shows `token` reach `upstream` under the preview's host; everybody else stays where they are."""
        async with self._owned(lease) as (connection, _):
            await _change(
                connection,
                lease.preview,
                {"candidate_commit": commit, "candidate_upstream": upstream, "probe_token": token},
            )

    async def clear_candidate(self, lease: Lease) -> None:
        """Nobody reaches the candidate any more, and it needs its images no more."""
        async with self._owned(lease) as (connection, row):
            if row.probe_token is not None or row.candidate_images:
                await _change(connection, lease.preview, _NO_CANDIDATE)

    async def promote(
        self, lease: Lease, containers: Iterable[str], reason: str, *, running: Iterable[str] = (), routed: str = ""
    ) -> None:
        """Let the candidate serve everybody, give up its way back, and call the preview ready: all or nothing.

        For `running` and `routed` see `standing.Serving`.
        """
        async with self._owned(lease) as (connection, row):
            record = DatabaseRecord.read(row.database)
            values = _NO_CANDIDATE | {
                "database": record and record.proven().stored(),
                "serving_commit": row.candidate_commit,
                "serving_upstream": row.candidate_upstream,
                "serving_routed": routed,
                "serving_containers": list(containers),
                "serving_running": list(running),
                "serving_images": row.candidate_images,
            }
            await _advance(connection, row, State.READY, reason, values)

    async def unroute(self, lease: Lease) -> None:
        """Let the host lead nowhere."""
        async with self._owned(lease) as (connection, _):
            values = _NO_CANDIDATE | _NOT_SERVING
            await _change(connection, lease.preview, values)

    async def hide(self, lease: Lease) -> None:
        """Lead nobody to what serves, which is down or elsewhere. It stays recorded, to be brought up again."""
        async with self._owned(lease) as (connection, row):
            if row.serving_upstream is not None:
                await _change(connection, lease.preview, {"serving_upstream": None})

    async def show(self, lease: Lease, upstream: str) -> None:
        """Lead visitors to what serves, at the address that it has now."""
        async with self._owned(lease) as (connection, _):
            await _change(connection, lease.preview, {"serving_upstream": upstream})

    async def lives(self, lease: Lease, commit: str, within: timedelta) -> int:
        """How often this commit came up within so long until now."""
        query = select(func.count()).where(
            of(deployments, lease.preview),
            deployments.c.commit == commit,
            deployments.c.outcome == "ready",
            deployments.c.finished_at > func.now() - within,
        )
        async with self._owned(lease) as (connection, _):
            return int(await connection.scalar(query) or 0)

    # Images

    async def use_images(self, lease: Lease, images: Iterable[str]) -> None:
        """Note which images the candidate is about to need, before the first of them is looked for or built."""
        async with self._owned(lease) as (connection, _):
            await connection.execute(
                update(previews).where(this(lease.preview)).values(candidate_images=sorted(set(images)))
            )

    # Deployments

    async def start_deployment(self, lease: Lease, generation: int, commit: str) -> int:
        """Begin a deployment; one that a killed worker left open is closed as interrupted."""
        async with self._owned(lease) as (connection, _):
            await _close_deployment(connection, lease.preview, "interrupted", None)
            return int(
                await connection.scalar(
                    insert(deployments)
                    .values(**_key(lease.preview), generation=generation, commit=commit)
                    .returning(deployments.c.id)
                )
                or 0
            )

    async def close_deployment(self, lease: Lease, outcome: str, error: PreviewdError | None = None) -> None:
        """Record how the preview's open deployment ended, if there is one, and with `error` at which step and why."""
        async with self._owned(lease) as (connection, _):
            await _close_deployment(connection, lease.preview, outcome, error)

    async def note(self, lease: Lease, deployment: int, notes: Iterable[str]) -> None:
        """Record what the author should know though nothing failed."""
        async with self._owned(lease) as (connection, _):
            await connection.execute(
                update(deployments).where(deployments.c.id == deployment).values(notes=list(notes))
            )

    async def keep_wiring(self, lease: Lease, deployment: int, wiring: Wiring) -> None:
        """Record how the stack came to its database."""
        async with self._owned(lease) as (connection, _):
            await connection.execute(
                update(deployments).where(deployments.c.id == deployment).values(wiring=wiring.stored())
            )

    async def enter_step(self, lease: Lease, deployment: int, step: Step, state: State) -> None:
        """Note that `step` begins, and move to the state that it belongs to."""
        async with self._owned(lease) as (connection, row):
            await connection.execute(insert(steps).values(deployment=deployment, step=step))
            if row.state is not state:
                await _advance(connection, row, state, f"{step.value} begins", {})

    async def leave_step(self, lease: Lease, deployment: int, step: Step) -> None:
        async with self._owned(lease) as (connection, _):
            await connection.execute(
                update(steps)
                .where(steps.c.deployment == deployment, steps.c.step == step)
                .values(finished_at=func.now())
            )

    async def log(self, deployment: int, step: Step, lines: Iterable[str]) -> None:
        """Append output. Guarded by the fence and not by the token: a line that is late by a moment harms nobody."""
        fence.require()
        rows = [{"deployment": deployment, "step": step, "line": line.replace("\0", "")} for line in lines]
        if rows:
            async with self._autocommit.connect() as connection:
                await connection.execute(insert(logs), rows)

    # Subnets

    async def subnet_of(self, network: str) -> ipaddress.IPv4Network | None:
        async with self._autocommit.connect() as connection:
            subnet = await connection.scalar(select(subnets.c.subnet).where(subnets.c.network == network))
        return None if subnet is None else ipaddress.IPv4Network(subnet)

    async def taken_subnets(self) -> list[ipaddress.IPv4Network]:
        async with self._autocommit.connect() as connection:
            return [ipaddress.IPv4Network(subnet) for subnet in await connection.scalars(select(subnets.c.subnet))]

    async def take_subnet(self, lease: Lease, network: str, subnet: ipaddress.IPv4Network) -> bool:
        """Give `subnet` to `network`. False when another preview was faster."""
        async with self._owned(lease) as (connection, _):
            result = await connection.execute(
                postgresql.insert(subnets)
                .values(subnet=subnet, network=network, **_key(lease.preview))
                .on_conflict_do_nothing()
            )
            return result.rowcount > 0

    async def give_up_subnet(self, lease: Lease, subnet: ipaddress.IPv4Network) -> None:
        """Leave `subnet` alone until `retry_subnets`: something uses it of which we know nothing."""
        nobody = {"network": None, "repository": None, "number": None, "at": func.now()}
        async with self._owned(lease) as (connection, _):
            await connection.execute(update(subnets).where(subnets.c.subnet == subnet).values(nobody))

    async def avoid_subnets(self, foreign: Iterable[ipaddress.IPv4Network]) -> None:
        """Leave these alone from now on. Not guarded by a lease: it says something of the machine."""
        rows = [{"subnet": subnet} for subnet in foreign]
        if rows:
            async with self._engine.begin() as connection:
                await connection.execute(postgresql.insert(subnets).on_conflict_do_nothing(), rows)

    async def retry_subnets(self, seconds: float) -> None:
        """What something else used so long ago may be offered to the Engine again: it may be free by now."""
        async with self._engine.begin() as connection:
            old = subnets.c.at < func.now() - timedelta(seconds=seconds)
            await connection.execute(delete(subnets).where(subnets.c.network.is_(None), old))

    async def free_subnets(self, lease: Lease, kept: Collection[str] = ()) -> None:
        """Those of the preview's networks, except for the networks `kept`, may be taken again."""
        async with self._owned(lease) as (connection, _):
            others = subnets.c.network.not_in(kept)
            await connection.execute(delete(subnets).where(of(subnets, lease.preview), others))

    # Backups

    async def forget_backups(self, lease: Lease) -> None:
        """No backup of the preview is listed any more, and none is taken by itself."""
        async with self._owned(lease) as (connection, _):
            await forget_all(connection, lease.preview)

    # The sweep and the report

    async def due(self) -> list[tuple[PreviewId, int]]:
        """Previews, with their generation, that have work and no worker: of those that were put off the first last."""
        query = select(previews.c.repository, previews.c.number, previews.c.generation).where(_is_due())
        query = query.order_by(previews.c.retry_at.nulls_first(), previews.c.created_at)
        async with self._autocommit.connect() as connection:
            rows = await connection.execute(query)
            return [(PreviewId(row.repository, row.number), row.generation) for row in rows]

    async def unreported(self) -> list[PreviewId]:
        """Previews that changed since the forge was last told about them, and may be told of now: the urgent first."""
        return await self.reports.due()

    async def live_repositories(self) -> list[int]:
        """Repositories that have a preview which is not removed."""
        query = select(previews.c.repository).where(previews.c.number > 0, previews.c.state != State.REMOVED).distinct()
        async with self._autocommit.connect() as connection:
            return list(await connection.scalars(query))

    @asynccontextmanager
    async def _owned(self, lease: Lease) -> AsyncIterator[tuple[AsyncConnection, Row[Any]]]:
        async with self._engine.begin() as connection:
            result = await connection.execute(select(previews).where(_holds(lease)).with_for_update())
            row = result.one_or_none()
            if row is None:
                raise _lost(lease)
            yield connection, row


_ON_ITS_WAY = frozenset({State.QUEUED, State.BUILDING, State.PREPARING, State.STARTING, State.FAILED})
"""States that a postponed attempt puts back into the queue. What is ready or waits stays so: it was not disproven."""

_NOT_IN_LINE = frozenset({State.READY, State.FAILED, State.WAITING, State.REMOVING, State.REMOVED})
"""States in which nobody stands in line, unless it is in line that it waits."""

_OUT_OF_LINE: dict[str, object] = {"line_joined_at": None, "line_needs": [], "waits_for": None, "place": None}

_NO_CANDIDATE: dict[str, object] = {
    "candidate_commit": None,
    "candidate_upstream": None,
    "candidate_images": [],
    "probe_token": None,
}
_NOT_SERVING: dict[str, object] = {
    "serving_commit": None,
    "serving_upstream": None,
    "serving_routed": "",
    "serving_containers": [],
    "serving_running": [],
    "serving_images": [],
}


def _key(preview: PreviewId) -> dict[str, int]:
    return {"repository": preview.repository, "number": preview.number}


def _is_due() -> Any:
    return and_(
        previews.c.settled < previews.c.generation,
        is_free(),
        or_(previews.c.retry_at.is_(None), previews.c.retry_at < func.now()),
    )


def _holds(lease: Lease) -> Any:
    return and_(this(lease.preview), previews.c.lease_token == lease.token, previews.c.lease_expires_at > func.now())


def _lost(lease: Lease) -> LeaseLost:
    lease.fence.fall()
    return LeaseLost(f"the lease of preview {lease.preview} is no longer ours")


_TEXTS = (
    bindparam(name, type_=Text)
    for name in ("action", "host", "repository_name", "title", "author", "branch", "channel", "preview")
)
"""Their types are told: Postgres cannot guess them where a parameter stands alone in a SELECT."""

_RECORD = text("""
    WITH delivery AS (
        INSERT INTO deliveries (id, event, action, outcome, reason, repository, number)
        VALUES (:id, :event, :action, :outcome, :why, :repository, :number)
        ON CONFLICT (id) DO UPDATE SET times = deliveries.times + 1
        RETURNING times
    ), preview AS (
        INSERT INTO previews (repository, number, host, repository_name, title, author, branch)
        SELECT :repository, :number, :host, :repository_name, :title, :author, :branch
        FROM delivery WHERE times = 1 AND :repository IS NOT NULL
        ON CONFLICT (repository, number) DO UPDATE SET
            generation = previews.generation + 1, attempts = 0, retry_at = NULL,
            repository_name = excluded.repository_name, title = excluded.title,
            author = excluded.author, branch = excluded.branch
        RETURNING generation
    )
    SELECT times, generation, CASE WHEN generation = 1 THEN pg_notify(:channel, :preview) END
    FROM delivery LEFT JOIN preview ON true
""").bindparams(bindparam("repository", type_=BigInteger), bindparam("number", type_=Integer), *_TEXTS)
"""One statement, and so one transaction and one way to Postgres and back: deliveries may come by the hundred."""


def _delivery_values(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "event": delivery.event,
        "action": delivery.action,
        "outcome": delivery.outcome,
        "why": delivery.reason,
    }


def _hint_values(hint: Hint | None) -> dict[str, object]:
    return {
        "repository": hint.preview.repository if hint else None,
        "number": hint.preview.number if hint else None,
        "repository_name": hint.repository_name if hint else "",
        "title": hint.title if hint else "",
        "author": hint.author if hint else "",
        "branch": hint.branch if hint else "",
        "channel": CHANNEL,
        "preview": str(hint.preview) if hint else "",
    }


async def _close_deployment(
    connection: AsyncConnection, preview: PreviewId, outcome: str, error: PreviewdError | None
) -> None:
    unfinished = (
        select(steps.c.step)
        .where(steps.c.deployment == deployments.c.id, steps.c.finished_at.is_(None))
        .scalar_subquery()
    )
    await connection.execute(
        update(deployments)
        .where(of(deployments, preview), deployments.c.outcome.is_(None))
        .values(
            outcome=outcome,
            failed_step=unfinished if error else None,
            reason=error.message if error else "",
            remedy=error.remedy if error else "",
            log_tail=list(error.log_tail) if isinstance(error, AuthorError) else [],
            finished_at=func.now(),
        )
    )


async def _change(connection: AsyncConnection, preview: PreviewId, values: Mapping[str, object]) -> None:
    told_again = {"report_after": None, "report_attempts": 0, "updated_at": func.clock_timestamp()}
    await connection.execute(update(previews).where(this(preview)).values(**values, **told_again))
    await _notify(connection, preview)


async def _advance(
    connection: AsyncConnection, row: Row[Any], target: State, reason: str, values: Mapping[str, object]
) -> None:
    if not may_move(row.state, target):
        raise OperatorError(f"preview {row.repository}-{row.number} cannot go from {row.state} to {target}")
    preview = PreviewId(row.repository, row.number)
    if (row.state, row.reason) != (target, reason):
        await connection.execute(
            insert(transitions).values(
                **_key(preview), generation=row.generation, source=row.state, target=target, reason=reason
            )
        )
    left_line = _OUT_OF_LINE if target in _NOT_IN_LINE else {}
    await _change(connection, preview, {"state": target, "reason": reason, **left_line, **values})
    if target is State.REMOVED and not preview.is_template:
        await connection.execute(look_again(preview.repository))  # it may have been the last to use it


async def _notify(connection: AsyncConnection, preview: PreviewId) -> None:
    await connection.execute(select(func.pg_notify(CHANNEL, str(preview))))
