"""A worker that something happens to, at one chosen call: everything that it does passes through here.

Its ports are wrapped, so nothing has to be compiled into the product. For a process that was killed there are none:
each further call raises Killed, which nothing catches, so its `finally` blocks change nothing in the world. One that is
frozen has none until it is thawed.
"""

import asyncio
import contextlib
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import httpx
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.errors import ForgeUnavailable, TemporaryError, Unavailable
from orchestrator.runtime import fence
from orchestrator.runtime.fence import LEASE_SECONDS, Fence
from orchestrator.store.claims import Claim
from orchestrator.store.queries import Queries
from orchestrator.store.reports import ReportClaim
from orchestrator.store.store import Store
from tests.support.faults import ANY_CALL, Fault, Mode, Moment, Place, is_record, port_of
from tests.support.intercept import intercept
from tests.support.scene import MOST_ROUNDS, Crew, Redis, work
from tests.support.world import World
from worker.context.build_slots import BuildSlots
from worker.context.context import WorkerContext
from worker.jobs.kinds import most

T = TypeVar("T")

FENCED = frozenset({"engine", "databases", "sources", "forge"})
"""Ports whose every call asks the fence at the last moment, as the real ones do."""

FORGE_FAILURES = 3
"""So many calls in a row fail while GitHub asks us to wait."""


class Killed(BaseException):
    """The process is no more. Not an Exception: no handler of the product's is to see it."""


class Mortal:
    """One worker process in a world. `fault` strikes once; `struck` says that it did."""

    def __init__(self, world: World, redis: Redis, database: AsyncEngine, place: Place, fault: Fault) -> None:
        self.fault = fault
        self.struck = False
        self.trace: list[str] = []
        """Every call that it began."""
        self.context = self._wrap(world.context, world, database)
        self._world = world
        self._redis = redis
        self._database = database
        self._place = place
        self._calls: Counter[str] = Counter()
        self._has_taken_effect = False
        self._is_recorded = False
        self._is_dead = False
        self._fences: list[Fence] = []
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._frozen = asyncio.Event()
        self._failing: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """Work until there is nothing to do, or until it is dead, or frozen."""
        self._task = asyncio.create_task(self._work())
        frozen = asyncio.create_task(self._frozen.wait())
        await asyncio.wait({self._task, frozen}, return_when=asyncio.FIRST_COMPLETED)
        frozen.cancel()
        if not self.is_frozen:
            await self._end()

    @property
    def is_frozen(self) -> bool:
        return not self._thawed.is_set()

    async def thaw(self) -> None:
        """Go on after a while in which the world has changed: the lease ran out long ago, and the clock says so."""
        for held in self._fences:
            held.clock = _later
        self._thawed.set()
        await self._end()

    async def _work(self) -> None:
        try:
            for _ in range(MOST_ROUNDS):
                with contextlib.suppress(Exception):  # a round failed, and the process goes on to the next
                    if not await work(self.context, self._redis):
                        return
        finally:
            await self.context.tasks.end()

    async def _end(self) -> None:
        assert self._task is not None
        with contextlib.suppress(Killed, asyncio.CancelledError):
            await self._task

    async def passing(self, call: str, act: Callable[[], Awaitable[T]]) -> T:
        """Every call of this worker's, from its beginning to its end."""
        await self._require_life()
        self.trace.append(call)
        self._calls[call] += 1
        here = not self.struck and self._is_at(call)
        if self._is_recorded or (here and self.fault.moment is Moment.BEFORE):
            await self._strike(call)
        self._fail_as_told(call)
        if port_of(call) in FENCED:
            fence.require()
        answer = await act()
        if isinstance(answer, Claim | ReportClaim):
            self._fences.append(answer.fence)
        if isinstance(answer, Claim):
            intercept(answer, lambda name, act: self.passing(f"store.{name}", act))
        await self._require_life()
        if here and self.fault.moment is Moment.UNRECORDED:
            await self._strike(call)
        self._has_taken_effect |= here
        if self._has_taken_effect and not self.struck and self.fault.moment is Moment.AFTER:
            self._is_recorded |= is_record(call)
        return answer

    async def stage(self, prefix: str, name: str, act: Callable[[], None]) -> None:
        """A stage of a call."""

        async def acting() -> None:
            act()

        await self.passing(f"{prefix}: {name}", acting)

    def _is_at(self, call: str) -> bool:
        times = self._calls[call] if self._place.call == call else self._calls.total()
        return self._place.call in {call, ANY_CALL} and times == self._place.nth

    async def _require_life(self) -> None:
        if self._is_dead:
            raise Killed
        await self._thawed.wait()

    async def _strike(self, call: str) -> None:
        """What the fault does, and what it does to this very call."""
        self.struck, self._is_recorded = True, False
        await self._strike_worker()
        await self._strike_dependency(port_of(call))
        self._fail_as_told(call)

    async def _strike_worker(self) -> None:
        match self.fault.mode:
            case Mode.SIGKILL:
                self._is_dead = True
                raise Killed
            case Mode.SIGTERM:
                assert self._task is not None
                self._task.cancel()
                await asyncio.Event().wait()
            case Mode.RAISE:
                raise RuntimeError("a fault that nobody thought of")
            case Mode.HANG:
                self._thawed.clear()
                self._frozen.set()
                await self._thawed.wait()
            case _:
                pass

    async def _strike_dependency(self, port: str) -> None:
        match self.fault.mode:
            case Mode.FLUSHALL:
                self._redis.woken.clear()
            case Mode.REDIS_DOWN:
                self._redis.woken.clear()
                self._redis.is_down = True
            case Mode.POSTGRES:
                await self._restart_postgres(port)
            case Mode.DOCKERD:
                self._world.engine.restart()
                self._failing["engine"] += port == "engine"
            case Mode.ENGINE:
                self._failing["engine"] += 1
            case Mode.GITHUB:
                self._failing["forge"] += FORGE_FAILURES
            case _:
                pass

    def _fail_as_told(self, call: str) -> None:
        """A dependency that was struck fails the call that is under way, or else the next ones."""
        port = port_of(call)
        if self._failing[port] <= 0:
            return
        self._failing[port] -= 1
        if port == "forge":
            raise ForgeUnavailable("GitHub answers 502", retry_after=0)
        if self.fault.mode is Mode.DOCKERD:
            raise Unavailable("the Docker Engine does not answer", retry_after=0)
        raise TemporaryError("the Docker Engine answers 500")

    async def _restart_postgres(self, port: str) -> None:
        await restart_postgres(self._database)
        if port == "store":
            raise DBAPIError(
                "", None, ConnectionResetError("the server ended the session"), connection_invalidated=True
            )

    def _wrap(self, context: WorkerContext, world: World, database: AsyncEngine) -> WorkerContext:
        async def engine_stage(name: str, act: Callable[[], None]) -> None:
            await self.stage("engine", name, act)

        async def databases_stage(name: str, act: Callable[[], None]) -> None:
            await self.stage("databases", name, act)

        async def ask(request: httpx.Request) -> httpx.Response:
            return await self.passing("proxy.ask", lambda: world.answer(request))

        return replace(
            context,
            store=cast("Any", _Port(self, "store", Store.of(database))),
            queries=cast("Any", _Port(self, "queries", Queries(database))),
            queue=cast("Any", _Port(self, "queue", context.queue)),
            engine=cast("Any", _Port(self, "engine", world.engine.client(engine_stage))),
            databases=cast("Any", _Port(self, "databases", world.databases.client(databases_stage))),
            forge=cast("Any", _Port(self, "forge", context.forge)),
            sources=cast("Any", _Port(self, "sources", context.sources)),
            proxy=httpx.AsyncClient(transport=httpx.MockTransport(ask), base_url="http://proxy"),
            build_slots=BuildSlots(4),
            tasks=Crew(most(context.settings)),
        )


async def restart_postgres(database: AsyncEngine) -> None:
    """End every session with this database, as a server does that restarts; new ones begin at once."""
    async with database.connect() as connection:
        await connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def _later() -> float:
    """The clock of one that was frozen for twice its lease."""
    return fence.now() + 2 * LEASE_SECONDS


class _Port:
    """One of a worker's ports: each of its calls passes the worker first."""

    def __init__(self, mortal: Mortal, name: str, target: object) -> None:
        self._mortal = mortal
        self._name = name
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if inspect.iscoroutinefunction(found):
            found = self._passing(f"{self._name}.{name}", found)
        elif self._name == "store" and not callable(found):
            found = _Port(self._mortal, f"store.{name}", found)
        setattr(self, name, found)
        return found

    def _passing(self, call: str, act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def pass_(*arguments: Any, **named: Any) -> Any:
            return await self._mortal.passing(call, lambda: act(*arguments, **named))

        return pass_
