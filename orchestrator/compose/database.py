"""How a stack uses Postgres, and the stack again with the preview's own database in its place.

Pure. The worker's environment step calls `rewrite` once the database exists; `check` calls `replaced_service` alone.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from orchestrator.compose.model import DatabaseMode, Driver, MountKind, Service, Stack

URL_VARIABLES = frozenset({"DATABASE_URL", "ALEMBIC_DATABASE_URL"})
"""The injected variables that hold the preview's own database."""
SCHEMES: Mapping[Driver, str] = {
    Driver.ASYNCPG: "postgresql+asyncpg",
    Driver.PSYCOPG: "postgresql+psycopg",
    Driver.PSYCOPG2: "postgresql+psycopg2",
    Driver.PLAIN: "postgresql",
}
_URL = re.compile(
    r"(?P<scheme>(?:postgres|postgresql|postgis|pgsql|psql)(?:\+\w+)?)://(?:[^/?#]*@)?"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:/?#@\s]+)(?::\d+)?(?:/(?P<name>[^?#\s]*))?(?P<query>\?\S*)?"
)
_IMAGES = frozenset(
    {"postgres", "postgresql", "postgis", "pgvector", "timescaledb", "timescaledb-ha", "citus", "postgres-ssl"}
)
_EXTENDED = frozenset({"postgis", "timescaledb", "timescaledb-ha", "citus"})
_HOST_VARIABLE = re.compile(r"(.*_)?(PG|POSTGRES|POSTGRESQL|DB|DATABASE)_?(HOST|HOSTNAME|SERVER)(_.*)?")
_INIT_FOLDER = "/docker-entrypoint-initdb.d"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrls:
    """The preview's own database, and every form of its URL."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def url(self, driver: Driver = Driver.PLAIN) -> str:
        """The URL in the form that a driver wants."""
        return self.with_scheme(SCHEMES[driver])

    def with_scheme(self, scheme: str, query: str = "") -> str:
        """The URL with any scheme and query; names and password are escaped."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{scheme}://{login}@{host}:{self.port}/{quote(self.database, safe='')}{query}"


def replaced_service(stack: Stack) -> str | None:
    """The service, or the bare host name, whose place the preview's own database takes; None where nothing does."""
    if stack.preview.database.mode is not DatabaseMode.MANAGED:
        return None
    if stack.preview.database.service is not None:
        return stack.preview.database.service
    servers = {name: service for name, service in stack.services.items() if is_postgres(service)}
    hosts = [match["host"] for service, variable, match in _urls(stack) if _is_written(service, variable)]
    for name, server in servers.items():
        if not _names(server).isdisjoint(hosts):
            return name
    if len(servers) == 1 and any(_takes_injected_url(service) for service in stack.services.values()):
        return next(iter(servers))
    known = {name for service in stack.services.values() for name in _names(service)}
    return next((host for host in hosts if host not in known and _is_service_like(host)), None)


def rewrite(stack: Stack, own: DatabaseUrls) -> Stack:
    """The stack with its Postgres URLs pointing at `own`, in the scheme and with the query that the file has.

    The replaced service is dropped, from `depends_on` too. What may still expect it is named in the warnings.
    """
    name = replaced_service(stack)
    if name is None:
        return stack
    dropped = stack.services.get(name)
    hosts = {name} if dropped is None else _names(dropped)
    services = {
        key: _without(_rewritten(service, hosts, own), name) for key, service in stack.services.items() if key != name
    }
    warnings = (*stack.warnings, *_warnings(stack, services, name, hosts))
    mounts = [mount for service in services.values() for mount in service.volumes]
    return replace(
        stack,
        services=services,
        volumes=tuple(sorted({mount.source for mount in mounts if mount.kind is MountKind.VOLUME})),
        networks={name: network for name, network in stack.networks.items() if _is_joined(name, services)},
        warnings=tuple(dict.fromkeys(warnings)),
    )


def driver_asked(stack: Stack) -> Driver | None:
    """The driver that the stack asks for: `x-preview` first, then the scheme of a DATABASE_URL, then of another URL.

    A URL that the file takes from us asks for nothing, and Alembic's is synchronous whatever the application is.
    """
    if stack.preview.database.driver is not None:
        return stack.preview.database.driver
    drivers = {scheme: driver for driver, scheme in SCHEMES.items()}
    found = {
        variable: drivers.get(match["scheme"], Driver.PLAIN)
        for service, variable, match in _urls(stack)
        if _is_written(service, variable) and not variable.startswith("ALEMBIC")
    }
    return found.get("DATABASE_URL") or next(iter(found.values()), None)


def is_postgres(service: Service) -> bool:
    """Whether the service runs a known Postgres image; one that is built here could be anything."""
    return service.build is None and image_name(service) in _IMAGES


def image_name(service: Service) -> str:
    """The last part of the image's name, without registry, tag and digest."""
    return (service.image or "").partition("@")[0].rpartition("/")[2].partition(":")[0]


def _urls(stack: Stack) -> Iterator[tuple[Service, str, re.Match[str]]]:
    for service in stack.services.values():
        for variable, value in service.environment.items():
            if (match := _URL.fullmatch(value)) is not None:
                yield service, variable, match


def _is_written(service: Service, variable: str) -> bool:
    """Whether the URL is the file's own, and not one that it takes from us."""
    return URL_VARIABLES.isdisjoint(service.sources.get(variable, ()))


def _names(service: Service) -> set[str]:
    """Every name that leads to the service inside the preview."""
    return {service.name, *(alias for aliases in service.networks.values() for alias in aliases)}


def _takes_injected_url(service: Service) -> bool:
    return any(not URL_VARIABLES.isdisjoint(mentioned) for mentioned in service.sources.values())


def _is_service_like(host: str) -> bool:
    """A single label such as `db`; an address or a full host name is a server of somebody else's."""
    if "." in host or host == "localhost":
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False


def _rewritten(service: Service, hosts: set[str], own: DatabaseUrls) -> Service:
    environment = {name: _own_url(value, hosts, own) for name, value in service.environment.items()}
    return replace(service, environment=environment)


def _own_url(value: str, hosts: set[str], own: DatabaseUrls) -> str:
    match = _URL.fullmatch(value)
    if match is None or match["host"] not in hosts:
        return value
    return own.with_scheme(match["scheme"], match["query"] or "")


def _is_joined(network: str, services: Mapping[str, Service]) -> bool:
    return any(network in service.networks for service in services.values())


def _without(service: Service, name: str) -> Service:
    kept = {needed: dependency for needed, dependency in service.depends_on.items() if needed != name}
    return replace(service, depends_on=kept)


def _warnings(stack: Stack, services: Mapping[str, Service], name: str, hosts: set[str]) -> Iterator[str]:
    """What may still expect the server that the preview's own database replaces."""
    for service in services.values():
        for variable, value in service.environment.items():
            if value in hosts and _HOST_VARIABLE.fullmatch(variable):
                yield (
                    f"{service.environment_places.get(variable, service.place)}: {variable} names `{value}`, which the "
                    "preview's own database replaces; read DATABASE_URL instead, or set "
                    "`x-preview: {database: {mode: container}}`."
                )
        words = " ".join((*(service.command or ()), *(service.entrypoint or ())))
        if any(re.search(rf"(?<![\w./-]){re.escape(host)}(?![\w/-])", words) for host in hosts):
            yield f"{service.place}: the command mentions `{name}`, which the preview's own database replaces."
    databases = {match["name"] for _, _, match in _urls(stack) if match["host"] in hosts and match["name"]}
    if len(databases) > 1:
        yield f"{stack.path}: the databases {', '.join(sorted(databases))} become one, the preview's own."
    if (dropped := stack.services.get(name)) is not None:
        yield from _server_warnings(dropped)


def _server_warnings(dropped: Service) -> Iterator[str]:
    if image_name(dropped) in _EXTENDED:
        yield f"{dropped.place}: the previews' Postgres must have the extensions of {dropped.image}."
    if any(mount.target.startswith(_INIT_FOLDER) for mount in dropped.volumes):
        yield f"{dropped.place}: the scripts in {_INIT_FOLDER} do not run; create the schema in a migration."
