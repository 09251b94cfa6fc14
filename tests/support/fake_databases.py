"""A Postgres server of previews in memory: it keeps names and rules, and as data a set of words for each database."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import IO

from orchestrator.compose.database.images import ServerFacts
from orchestrator.databases.connections import Budget
from orchestrator.databases.limits import DatabaseLimits, DatabaseSize, Fill
from orchestrator.databases.sessions import Policed
from orchestrator.databases.templates import Template
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview import names
from orchestrator.preview.errors import DatabaseFull, NoConnectionsLeft, OperatorError, TemporaryError
from tests.support.fake_engine import Stage, at_once

Before = Callable[[str, str], Awaitable[None]]


async def _nothing(_method: str, _name: str) -> None:
    """Let it happen."""


@dataclass(slots=True)
class FakeDatabase:
    data: set[str] = field(default_factory=set)
    """What was written into it, as words."""
    revisions: frozenset[str] = frozenset()
    bytes: int = 8 << 20
    made_of: Mapping[str, str] | None = None
    spare: bool = False
    whole: bool = True
    """Whether it was made to its end; another is put in its place if not."""


class FakeDatabases:
    """See `Databases`. `before` is awaited before each change, with the method and what it names."""

    def __init__(
        self, instance: str = "previewd", limits: DatabaseLimits | None = None, max_connections: int = 1000
    ) -> None:
        self.instance = instance
        self.limits = limits or DatabaseLimits()
        self.max_connections = max_connections
        self.databases: dict[str, FakeDatabase] = {}
        self.roles: dict[str, int] = {}
        """Those that may log in, with their connection limits."""
        self.server = ServerFacts(major=18, extensions=frozenset({"citext", "hstore", "pg_trgm"}))
        self.before: Before = _nothing
        self.stage: Stage = at_once

    def client(self, stage: Stage) -> "FakeDatabases":
        """Another client of the same server, whose calls pass their stages by themselves."""
        other = copy(self)
        other.stage = stage
        return other

    async def ping(self) -> None:
        """It is always there."""

    def access(self, name: str, password: str) -> DatabaseAccess:
        return DatabaseAccess(host="172.17.0.1", port=5432, database=name, role=name, password=password)

    async def ensure(
        self,
        name: str,
        password: str,
        *,
        source: str | None = None,
        extensions: Collection[str] = (),  # noqa: ARG002
    ) -> DatabaseAccess:
        await self.before("ensure_database", name)
        there = self.databases.get(name)
        if there and self._size(name).fill is Fill.SHUT:
            raise DatabaseFull(f"{name} is full")
        budget = await self.budget()
        if not budget.allows(name, self.limits.connections):
            raise NoConnectionsLeft(budget.refusal(self.limits.connections))
        await self.stage("create role", lambda: self.roles.update({name: self.limits.connections}))
        if there is None or not there.whole:
            await self.stage("create database", lambda: self.databases.update({name: self._copy(source, whole=False)}))
        await self.stage("admit its role", lambda: self._finish(name))
        return self.access(name, password)

    async def reset(self, name: str, *, source: str | None = None, extensions: Collection[str] = ()) -> None:  # noqa: ARG002
        await self.before("reset", name)
        self.databases[name] = self._copy(source)

    async def snapshot(self, name: str, snapshot: str) -> None:
        await self.before("snapshot", snapshot)
        if name not in self.databases:
            raise OperatorError(f"there is no database {name}")
        if snapshot not in self.databases:
            self.databases[snapshot] = self._copy(name)

    async def restore(self, name: str, snapshot: str) -> None:
        await self.before("restore", snapshot)
        if snapshot in self.databases:
            self.databases[name] = self.databases.pop(snapshot)
        elif name not in self.databases:
            raise OperatorError(f"there is neither the database {name} nor its snapshot {snapshot}")

    async def finish_template(self, name: str, made_of: Mapping[str, str]) -> None:
        await self.before("finish_template", name)
        self.roles.pop(name, None)
        self.databases[name].made_of = dict(made_of)

    async def stock(self, template: str) -> None:
        await self.before("stock", template)
        self.databases[template].spare = self.databases[template].made_of is not None

    async def templates(self) -> list[Template]:
        found = []
        for name, database in sorted(self.databases.items()):
            repository = names.repository_of_template(self.instance, name)
            if repository is not None:
                found.append(Template(name=name, repository=repository, made_of=database.made_of, spare=database.spare))
        return found

    async def remove(self, name: str) -> None:
        await self.before("remove", name)
        await self.stage("drop databases", lambda: self._drop(name))
        await self.stage("drop role", lambda: self._drop_role(name))

    async def names(self) -> list[str]:
        found = {*self.databases, *self.roles}
        return sorted(name for name in found if names.preview_of_database(self.instance, name))

    async def police(self) -> Policed:
        return Policed(ended=(), sizes=tuple(self._size(name) for name in sorted(self.databases) if name in self.roles))

    async def revisions(self, name: str, password: str) -> frozenset[str] | None:  # noqa: ARG002
        return self.databases[name].revisions if name in self.databases else None

    async def run_script(self, name: str, password: str, script: str) -> None:  # noqa: ARG002
        await self.before("run_script", name)
        self.databases[name].data.add(script)

    async def dump(self, name: str, password: str, output: IO[bytes]) -> None:  # noqa: ARG002
        if name not in self.databases:
            raise OperatorError(f"there is no database {name}")
        output.write("\n".join(sorted(self.databases[name].data)).encode())

    async def budget(self) -> Budget:
        return Budget(max_connections=self.max_connections, reserved=13, granted=dict(self.roles), in_use={})

    async def facts(self) -> ServerFacts:
        return self.server

    def _size(self, name: str) -> DatabaseSize:
        return DatabaseSize(name=name, bytes=self.databases[name].bytes, limit=self.limits.bytes)

    def _finish(self, name: str) -> None:
        self.databases[name].whole = True

    def _drop(self, name: str) -> None:
        for database in [one for one in self.databases if names.role_of_database(self.instance, one) == name]:
            del self.databases[database]
        self.databases.pop(name, None)

    def _drop_role(self, name: str) -> None:
        self.roles.pop(name, None)

    def _copy(self, source: str | None, *, whole: bool = True) -> FakeDatabase:
        if source is None:
            return FakeDatabase(whole=whole)
        if source not in self.databases:
            raise TemporaryError(f"database {source} is gone")
        copied = self.databases[source]
        copied.spare = False
        return FakeDatabase(data=set(copied.data), revisions=copied.revisions, bytes=copied.bytes, whole=whole)
