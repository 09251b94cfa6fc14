"""The line of previews that wait for something of the machine, kept in their rows. `worker.admission` moves it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, and_, bindparam, case, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, CIDR
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.admission.line import Entry, Turn, fair_order, place_of
from orchestrator.admission.room import NEEDED_ALWAYS, NEEDED_TO_BEGIN, Use
from orchestrator.admission.words import reason, sounds_alike
from orchestrator.preview.errors import NoRoom
from orchestrator.preview.state import PreviewId, Resource, State
from orchestrator.store.conditions import news, this
from orchestrator.store.connection import autocommit
from orchestrator.store.leases import Lease
from orchestrator.store.previews import advance, change
from orchestrator.store.tables import previews, subnets

_REST = timedelta(seconds=15)
"""So long is not called again who was let in, and found no network where the numbers promise one."""

_JUDGING, _TELLING = 0x6C696E65, 0x74656C6C
"""Advisory locks: of two workers the second one to let in sees whom the first let in; one tells the line at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSnapshot:
    """The line and what is taken of the machine, as our own database knows it, at one moment."""

    line: tuple[Entry, ...]
    served: Mapping[int, datetime]
    """When a preview of each repository in line was let in last."""
    use: Use
    promised: frozenset[PreviewId]
    """Let in after they had waited for database connections, which they may not have taken yet."""


class Line:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._autocommit = engine, autocommit(engine)

    async def is_empty(self) -> bool:
        async with self._autocommit.connect() as connection:
            return not await connection.scalar(select(exists().where(stands_in_line())))

    async def read(self, pool: IPv4Network) -> LineSnapshot:
        """Who waits. `pool` is where networks are cut from."""
        async with self._autocommit.connect() as connection:
            return (await _read(connection, pool, None))[0]

    async def call_up(self, preview: PreviewId) -> None:
        """It is this preview's turn: let a worker take it at once."""
        async with self._engine.begin() as connection:
            await connection.execute(update(previews).where(this(preview), _waits()).values(retry_at=None))

    async def tell(self, turns: Iterable[Turn], said: Mapping[Resource, str]) -> None:
        """Write down what each lacks and its place, where that has changed. Who is told so already is not told anew.

        Far behind that is done quietly: neither forge nor open pages hear of each step of a long line. Not guarded by a
        lease: nobody works on what waits.
        """
        changed = [_news(turn, turn.lacks, said) for turn in turns if turn.lacks and _is_news(turn, turn.lacks)]
        if not changed:
            return
        async with self._engine.begin() as connection:
            if await connection.scalar(select(func.pg_try_advisory_xact_lock(_TELLING))):
                await connection.execute(_TELL, changed)
                if aloud := [each["id"] for each in changed if each["aloud"]]:
                    await connection.execute(_NOTIFY, {"changed": aloud})


class ClaimedPlace:
    """A preview's slot, or its place in line, under its lease. `judging` lets one of this process ask at a time."""

    def __init__(self, lease: Lease, judging: asyncio.Lock) -> None:
        self._lease, self._judging = lease, judging

    async def let_in(
        self, commit: str, why: str, pool: IPv4Network, judge: Callable[[LineSnapshot, Entry], NoRoom | None]
    ) -> None:
        """Give the preview a slot and put it into the queue, unless `judge` finds that it has to wait.

        Nobody else is let in meanwhile. The slot lasts as long as the lease. Raises what `judge` answers.
        """
        async with self._judging, self._lease.owned() as (connection, row):
            refusal = judge(*await _judged(connection, pool, self._lease.preview))
            if refusal is None:
                slot = {"admitted_token": self._lease.token, "admitted_at": func.clock_timestamp()}
                values = {"commit": commit, "place": None, "waits_for": None, **slot}
                await advance(connection, row, State.QUEUED, why, values)
            elif row.state is not State.WAITING:
                await advance(connection, row, State.QUEUED, why, {"commit": commit})
            elif row.commit != commit:
                await change(connection, self._lease.preview, {"commit": commit})
        if refusal is not None:
            raise refusal

    async def join(self, error: NoRoom, pool: IPv4Network, seconds: float) -> None:
        """Let the preview wait, since when it does already; it is called, or looks by itself in `seconds`."""
        async with self._lease.owned() as (connection, row):
            snapshot, own = await _around(connection, pool, self._lease.preview)
            place = place_of(fair_order((*snapshot.line, own), snapshot.served), own, error.lacks)
            values = {
                "line_joined_at": own.joined_at,
                "line_needs": sorted({*row.line_needs, error.lacks}),
                "waits_for": error.lacks,
                "place": place,
                "retry_at": func.now() + timedelta(seconds=seconds),
            }
            await advance(connection, row, State.WAITING, reason(error.lacks, place, error.message), values)


async def _judged(connection: AsyncConnection, pool: IPv4Network, asking: PreviewId) -> tuple[LineSnapshot, Entry]:
    """As `_around`, while nobody else is let in: until the transaction ends."""
    await connection.execute(select(func.pg_advisory_xact_lock(_JUDGING)))
    return await _around(connection, pool, asking)


async def _around(connection: AsyncConnection, pool: IPv4Network, asking: PreviewId) -> tuple[LineSnapshot, Entry]:
    """The line without `asking`, and its entry, whether or not it stands in line."""
    snapshot, (own,) = await _read(connection, pool, asking)
    return snapshot, own


async def _read(
    connection: AsyncConnection, pool: IPv4Network, asking: PreviewId | None
) -> tuple[LineSnapshot, Sequence[Entry]]:
    condition = stands_in_line() if asking is None else or_(stands_in_line(), this(asking))
    rows = (await connection.execute(_ENTRIES.where(condition))).all()
    use = (await connection.execute(_USE, {"pool": pool})).one()
    served = (await connection.execute(_SERVED)).all() if rows else ()
    entries = [_entry(row) for row in rows]
    snapshot = LineSnapshot(
        line=tuple(entry for entry in entries if entry.preview != asking),
        served={row.repository: row.at for row in served},
        use=Use(
            slots=use.slots,
            previews=use.live,
            addresses=use.addresses,
            foreign_subnets=use.foreign,
            leaked={
                Resource.NETWORKS: use.orphans,
                Resource.MEMORY: use.leaked_containers,
                Resource.DISK: use.leaked_data,
            },
        ),
        promised=frozenset(map(PreviewId.parse, use.promised)),
    )
    return snapshot, [entry for entry in entries if entry.preview == asking]


def _waits() -> ColumnElement[bool]:
    return and_(previews.c.state == State.WAITING, previews.c.line_joined_at.is_not(None))


def _is_called() -> ColumnElement[bool]:
    """Or taken already: a worker asks whether it may still run."""
    return or_(
        previews.c.retry_at.is_(None), previews.c.retry_at <= func.now(), previews.c.lease_expires_at > func.now()
    )


def stands_in_line() -> ColumnElement[bool]:
    """What has no place waits, for a while, for something that is away: it holds up nobody, and keeps its turn."""
    return and_(_waits(), previews.c.number > 0, or_(previews.c.place.is_not(None), _is_called()))


_HAS_NETWORK = exists().where(subnets.c.repository == previews.c.repository, subnets.c.number == previews.c.number)

_ENTRIES = select(
    previews.c.repository,
    previews.c.number,
    previews.c.generation,
    func.coalesce(previews.c.line_joined_at, func.clock_timestamp()).label("joined_at"),
    previews.c.serving_commit,
    previews.c.line_needs,
    previews.c.waits_for,
    previews.c.place,
    _is_called().label("called"),
    (previews.c.admitted_at > func.now() - _REST).label("was_let_in"),
    _HAS_NETWORK.label("has_network"),
)

_SERVED = (
    select(previews.c.repository, func.max(previews.c.admitted_at).label("at"))
    .where(
        previews.c.repository.in_(select(previews.c.repository).where(previews.c.line_joined_at.is_not(None))),
        previews.c.admitted_at.is_not(None),
    )
    .group_by(previews.c.repository)
)

_USE = text("""
    WITH live AS (
        SELECT repository || '-' || number AS id, serving_commit, line_needs,
               coalesce(admitted_token = lease_token AND lease_expires_at > now(), false) AS has_slot
        FROM previews WHERE number > 0 AND state <> 'removed'
    ), used AS (
        SELECT count(*) FILTER (WHERE has_slot) AS slots,
               count(*) FILTER (WHERE has_slot OR serving_commit IS NOT NULL) AS live,
               coalesce(array_agg(id) FILTER (WHERE has_slot AND 'connections' = ANY (line_needs)), '{}') AS promised
        FROM live
    ), cut AS (
        SELECT coalesce(sum(1::bigint << (32 - masklen(subnet))), 0)::bigint AS addresses,
               count(*) FILTER (WHERE network IS NULL) AS foreign,
               count(*) FILTER (WHERE network IS NOT NULL AND (state IS NULL OR state = 'removed')) AS orphans
        FROM subnets LEFT JOIN previews USING (repository, number) WHERE subnet <<= :pool
    ), leaked AS (
        SELECT count(*) FILTER (WHERE kind = 'container') AS leaked_containers,
               count(*) FILTER (WHERE kind IN ('image', 'volume', 'database')) AS leaked_data
        FROM leaks
    )
    SELECT * FROM used, cut, leaked
""").bindparams(bindparam("pool", type_=CIDR))

_TELL = (
    update(previews)
    .where(
        previews.c.repository == bindparam("of_repository"),
        previews.c.number == bindparam("of_number"),
        _waits(),
    )
    .values(
        reason=bindparam("why"),
        waits_for=bindparam("lacks"),
        place=bindparam("at_place"),
        updated_at=case((bindparam("aloud"), func.clock_timestamp()), else_=previews.c.updated_at),
    )
)

_NOTIFY = select(news(func.unnest(bindparam("changed", type_=ARRAY(Text)))))


def _entry(row: Row[Any]) -> Entry:
    needs = NEEDED_ALWAYS if row.serving_commit else NEEDED_TO_BEGIN
    if not (row.serving_commit or row.has_network):
        needs |= {Resource.NETWORKS}
    return Entry(
        preview=PreviewId(row.repository, row.number),
        generation=row.generation,
        joined_at=row.joined_at,
        needs=needs.union(map(Resource, row.line_needs)),
        called=bool(row.called),
        resting=bool(row.was_let_in) and Resource.NETWORKS in row.line_needs,
        told=(Resource(row.waits_for), row.place) if row.waits_for and row.place else None,
    )


def _is_news(turn: Turn, lacks: Resource) -> bool:
    return turn.entry.told != (lacks, turn.place)


def _news(turn: Turn, lacks: Resource, said: Mapping[Resource, str]) -> dict[str, object]:
    """Of a place far behind the forge need not hear: it would be told the same."""
    preview = turn.entry.preview
    return {
        "of_repository": preview.repository,
        "of_number": preview.number,
        "id": str(preview),
        "why": reason(lacks, turn.place, said[lacks]),
        "lacks": lacks.value,
        "at_place": turn.place,
        "aloud": not sounds_alike(turn.entry.told, (lacks, turn.place)),
    }
