"""Where requests go."""

import pytest

from orchestrator.compose.route import route
from orchestrator.preview.errors import ComposeError
from tests.unit.compose.support import stack_of

DB = "  db: {image: 'postgres:16', ports: ['5432:5432']}\n"
REDIS = "  cache: {image: 'redis:7', ports: [6379]}\n"


@pytest.mark.parametrize(
    ("services", "service", "port"),
    [
        ("  api: {build: ., ports: ['8080:8000']}\n", "api", 8000),
        ("  api: {build: ., expose: [9000], ports: ['8080:8000']}\n", "api", 8000),
        ("  api: {build: ., expose: [9000], ports: ['8080:1234']}\n", "api", 1234),
        ("  api: {build: ., expose: [9000], ports: ['443:443', '9229:9229']}\n", "api", 9000),
        ("  api: {build: ., ports: ['443:443', '80:80']}\n", "api", 80),
        ("  api: {build: ., ports: ['9229:9229', '3000:3000']}\n", "api", 3000),
        ("  api: {build: ., ports: ['5678:5678', '8443:8443']}\n", "api", 8443),
        ("  api: {build: ., ports: ['7000:7000', '8080:8080']}\n", "api", 8080),
        ("  api: {build: ., ports: ['7001:7001', '7000:7000']}\n", "api", 7001),
        ("  api: {build: ., ports: ['53:53/udp', '8000']}\n", "api", 8000),
        ("  api: {build: .}\n", "api", None),
        ("  web: {image: nginx, ports: [80]}\n", "web", 80),
        ("  api: {build: ., ports: [8000]}\n" + DB + REDIS, "api", 8000),
        ("  api: {build: ., ports: [8000]}\n  worker: {build: .}\n", "api", 8000),
        ("  api: {build: ., ports: [8000]}\n  adminer: {image: adminer, ports: [8080]}\n", "api", 8000),
        ("  web: {image: nginx, ports: [80]}\n  api: {build: ., expose: [8000]}\n", "web", 80),
        (
            "  api: {build: ., depends_on: {m: {condition: service_completed_successfully}}}\n  m: {build: .}\n",
            "api",
            None,
        ),
        ("  a: {build: ., ports: [1]}\n  b: {build: ., ports: [2]}\nx-preview: {service: b}\n", "b", 2),
        ("  a: {build: ., ports: [1]}\nx-preview: {port: 9, service: a}\n", "a", 9),
    ],
)
def test_the_routed_service(services: str, service: str, port: int | None) -> None:
    found = route(stack_of(f"services:\n{services}"))
    assert (found.service, found.port) == (service, port)


def test_the_health_path() -> None:
    usual = route(stack_of("services: {a: {build: .}}\n"))
    assert (usual.health, usual.health_is_given) == ("/health", False)
    given = route(stack_of("services: {a: {build: .}}\nx-preview: {health: /up}\n"))
    assert (given.health, given.health_is_given) == ("/up", True)


def test_several_candidates_are_named_with_the_lines_to_write() -> None:
    with pytest.raises(ComposeError, match="any of front, back") as caught:
        route(stack_of("services:\n  front: {build: ., ports: [3000]}\n  back: {build: ., ports: [8000]}\n"))
    assert caught.value.remedy == "Name one:\nx-preview:\n  service: front\n  port: 3000"


def test_only_the_candidates_that_are_left_are_named() -> None:
    with pytest.raises(ComposeError, match=r"any of front, back$"):
        route(
            stack_of(
                "services:\n  front: {build: ., ports: [3000]}\n  back: {build: ., ports: [8000]}\n"
                "  adminer: {image: adminer, ports: [8080]}\n  worker: {build: .}\n"
            )
        )


@pytest.mark.parametrize(
    ("ports", "reason"),
    [
        ("['443:443', '80:80']", "the first published port that usually speaks HTTP"),
        ("['7001:7001', '7000:7000']", "the first published port"),
        ("['7001:7001']", ""),
        ("['7001:7001'], expose: [8000]", "the only published port"),
        ("[]", ""),
    ],
)
def test_the_choice_of_the_port_is_explained(ports: str, reason: str) -> None:
    assert route(stack_of(f"services: {{a: {{build: ., ports: {ports}}}}}\n")).port_reason == reason


def test_no_candidate_is_said() -> None:
    with pytest.raises(ComposeError, match="no service serves") as caught:
        route(stack_of(f"services:\n{DB}{REDIS}"))
    assert "x-preview:" in caught.value.remedy
