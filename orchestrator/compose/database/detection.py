"""Which service of a stack is its Postgres server, and who says so. Pure."""

import ipaddress
from collections.abc import Iterator

from orchestrator.compose.database.images import is_postgres
from orchestrator.compose.database.urls import URL_VARIABLES, PostgresUrl, read_url
from orchestrator.compose.database.variable_families import Part, family_members
from orchestrator.compose.model import DatabaseMode, Service, Stack


def replaced_service(stack: Stack) -> str | None:
    """The service, or the bare host name, whose place the preview's own database takes; None where nothing does."""
    if stack.preview.database.mode is not DatabaseMode.MANAGED:
        return None
    if stack.preview.database.service is not None:
        return stack.preview.database.service
    servers = {name: service for name, service in stack.services.items() if is_postgres(service)}
    written = (url for service, variable, url in postgres_urls(stack) if _is_written(service, variable))
    hosts = [host for url in written for host in url.hosts]
    for name, server in servers.items():
        names = names_of(server) | _linked_names(server, stack)
        if not {host.lower() for host in names}.isdisjoint(hosts) or _is_named_by_family(server, stack):
            return name
    if len(servers) == 1 and any(_takes_injected_url(service) for service in stack.services.values()):
        return next(iter(servers))
    known = {name.lower() for service in stack.services.values() for name in names_of(service)}
    return next((host for host in hosts if host not in known and _is_service_like(host)), None)


def postgres_urls(stack: Stack) -> Iterator[tuple[Service, str, PostgresUrl]]:
    """Every variable that is a Postgres URL: its service, its name, and the URL."""
    for service in stack.services.values():
        for variable, value in service.environment.items():
            if (url := read_url(value)) is not None:
                yield service, variable, url


def _is_written(service: Service, variable: str) -> bool:
    """Whether the URL is the file's own, and not one that it takes from us."""
    return URL_VARIABLES.isdisjoint(service.sources.get(variable, ()))


def names_of(service: Service) -> set[str]:
    """Every name that leads to the service inside the preview."""
    return {service.name, *(alias for aliases in service.networks.values() for alias in aliases)}


def _linked_names(server: Service, stack: Stack) -> set[str]:
    links = (link for service in stack.services.values() for link in service.links.items())
    return {alias for alias, target in links if target == server.name}


def _is_named_by_family(server: Service, stack: Stack) -> bool:
    """Whether another service has the server's name, or with a dependency its login, in a family of variables."""
    hosts = frozenset(name.lower() for name in names_of(server))
    for service in stack.services.values():
        if service.name != server.name and not is_postgres(service):
            uses = server.name in service.depends_on and service.from_repository
            names = hosts | {alias.lower() for alias, target in service.links.items() if target == server.name}
            if Part.PASSWORD in family_members(service.environment, names, uses_server=uses).values():
                return True
            if Part.HOST in family_members(service.environment, names, uses_server=False).values():
                return True
    return False


def _takes_injected_url(service: Service) -> bool:
    return any(not URL_VARIABLES.isdisjoint(mentioned) for mentioned in service.sources.values())


def _is_service_like(host: str) -> bool:
    """A single label such as `db`; an address or a full host name is a server of somebody else's."""
    if "." in host or host == "localhost" or not host:
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "/" not in host
    return False
