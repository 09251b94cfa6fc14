"""The service that the preview's host name leads to, its port and its health path.

Pure. The launch and probe steps and `check` call `route`; a port of None means that the image's EXPOSE decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.compose.database import image_name, is_postgres
from orchestrator.compose.model import Condition, Service, Stack
from orchestrator.errors import ComposeError, Place

DEFAULT_HEALTH = "/health"
_DATA_STORES = frozenset(
    {
        "cassandra",
        "clickhouse-server",
        "elasticsearch",
        "etcd",
        "kafka",
        "localstack",
        "mariadb",
        "memcached",
        "minio",
        "mongo",
        "mongodb",
        "mysql",
        "nats",
        "opensearch",
        "rabbitmq",
        "redis",
        "redis-stack",
        "redis-stack-server",
        "valkey",
        "zookeeper",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where requests go."""

    service: str
    port: int | None
    health: str
    health_is_given: bool
    """Whether the file names the path; else the probe may try the usual ones."""


def route(stack: Stack) -> Route:
    """The routed service, from `x-preview` or as the only candidate. Raises ComposeError where several could be."""
    block = stack.preview
    service = stack.services.get(block.service or "") or _only_candidate(stack)
    return Route(
        service=service.name,
        port=block.port or _port(service),
        health=block.health or DEFAULT_HEALTH,
        health_is_given=block.health is not None,
    )


def _only_candidate(stack: Stack) -> Service:
    """Narrowed step by step: whoever serves, then whoever publishes a port, then whoever is built here."""
    candidates = _candidates(stack.services)
    published = {name: service for name, service in candidates.items() if service.ports}
    built = {name: service for name, service in (published or candidates).items() if service.from_repository}
    for found in (candidates, published, built):
        if len(found) == 1:
            return next(iter(found.values()))
    if not candidates:
        raise ComposeError(
            Place(file=stack.path, path="services"),
            "no service serves: none is built here, and none has `ports` or `expose`",
            "Name it:\nx-preview:\n  service: NAME\n  port: 8000",
        )
    names = ", ".join(candidates)
    likely = next(iter(built or published or candidates))
    port = _port(candidates[likely]) or 8000
    raise ComposeError(
        Place(file=stack.path, path="services"),
        f"the preview's address could lead to any of {names}",
        f"Name one:\nx-preview:\n  service: {likely}\n  port: {port}",
    )


def _candidates(services: Mapping[str, Service]) -> Mapping[str, Service]:
    one_shot = {
        name
        for service in services.values()
        for name, dependency in service.depends_on.items()
        if dependency.condition is Condition.COMPLETED
    }
    return {
        name: service
        for name, service in services.items()
        if (service.ports or service.expose or service.from_repository)
        and service.networks
        and name not in one_shot
        and not is_postgres(service)
        and image_name(service) not in _DATA_STORES
    }


def _port(service: Service) -> int | None:
    ports = [*service.expose, *(port.target for port in service.ports if port.protocol == "tcp")]
    return ports[0] if ports else None
