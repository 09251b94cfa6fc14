"""The service that the preview's host name leads to, its port and its health path.

Pure. The launch and probe steps and `check` call `route`; a port of None means that the image's EXPOSE decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.compose.database import image_name, is_postgres
from orchestrator.compose.model import Condition, Service, Stack
from orchestrator.preview.errors import ComposeError, Place

DEFAULT_HEALTH = "/health"
_USUAL = frozenset({80, 3000, 4000, 4200, 5000, 5173, 8000, 8080, 8081, 8888, 9000})
"""Ports on which applications speak plain HTTP, which is what the proxy speaks to them."""
_TLS = frozenset({443, 4443, 8443, 9443})
_DEBUGGERS = frozenset({2345, 4711, 5005, 5678, 9003, 9222, 9229, 9230})
"""Of Go, Xdebug, Java, Python, Xdebug, Chrome and Node: they stand beside the application's own port."""
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
    port_reason: str = ""
    """Why it is this port, in the words of `check`."""


def route(stack: Stack) -> Route:
    """The routed service, from `x-preview` or as the only candidate. Raises ComposeError where several could be."""
    block = stack.preview
    service = stack.services.get(block.service or "") or _only_candidate(stack)
    port, reason = (block.port, "as x-preview says") if block.port else _port(service)
    return Route(
        service=service.name,
        port=port,
        health=block.health or DEFAULT_HEALTH,
        health_is_given=block.health is not None,
        port_reason=reason,
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
    left = built or published or candidates
    names, likely = ", ".join(left), next(iter(left))
    port = _port(left[likely])[0] or 8000
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


def _port(service: Service) -> tuple[int | None, str]:
    """The port that answers a browser, as far as the file tells, and why it is that one."""
    ranked = sorted(_ranked(service), key=lambda found: found[0])
    if not ranked:
        return None, ""
    _, port, reason = ranked[0]
    return port, reason if len(ranked) > 1 else ""


def _ranked(service: Service) -> Iterator[tuple[int, int, str]]:
    """Each TCP port with its rank and the reason for it, the lower the better; of equal ones the first counts."""
    published = [port.target for port in service.ports if port.protocol == "tcp"]
    for how, ports in (("published", published), ("exposed", service.expose)):
        for port in ports:
            rank, what = _speaks(port)
            # A published port is the one that people open, unless it cannot be plain HTTP.
            yield rank + (2 if how == "exposed" and rank <= 1 else 0), port, _reason(ports, how, what)


def _speaks(port: int) -> tuple[int, str]:
    if port in _DEBUGGERS:
        return 5, ""
    if port in _TLS:
        return 4, ""
    return (0, " that usually speaks HTTP") if port in _USUAL else (1, "")


def _reason(ports: Sequence[int], how: str, what: str) -> str:
    return f"the only {how} port" if len(ports) == 1 else f"the first {how} port{what}"
