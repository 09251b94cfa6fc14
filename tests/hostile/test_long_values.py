"""A value as long as a file may be, in every place where one may stand: none of them makes work without end."""

import contextlib
from collections.abc import Callable
from functools import partial

import pytest

from orchestrator.compose.policy.keys import TABLES
from orchestrator.compose.services.stack import read
from orchestrator.compose.syntax.casts import boolean, duration, go_duration, integer, nearest, number, size, whole
from orchestrator.compose.syntax.load import MAX_BYTES, Node
from orchestrator.preview.errors import ComposeError, Place
from tests.support.endless import ends

LENGTH = MAX_BYTES - 2_000
PATTERNS = ("1", "1s", "1h1ms", "1.", "1e", "1_", " ", "a", "0", "-", "+", "٣", "1k", ".")
READERS: tuple[Callable[[Node], object], ...] = (
    boolean,
    duration,
    lambda node: integer(node, 1, 65_535),
    number,
    size,
    whole,
    lambda node: go_duration(str(node.value)),
    lambda node: nearest(str(node.value), TABLES["service"]),
)


def try_it(work: Callable[[], object]) -> None:
    """It ends, in whatever way."""
    with contextlib.suppress(ComposeError), ends():
        work()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_scalar(pattern: str) -> None:
    node = Node(value=(pattern * LENGTH)[:LENGTH], place=Place(file="f"))
    for reader in READERS:
        try_it(partial(reader, node))


@pytest.mark.parametrize("key", sorted(TABLES["service"]))
def test_every_key_of_a_service(key: str) -> None:
    text = f'services: {{a: {{image: x, {key}: "{"1" * LENGTH}"}}}}\n'
    try_it(lambda: read({"compose.yaml": text.encode()}, "compose.yaml", {}))


@pytest.mark.parametrize("key", ["interval", "timeout", "start_period"])
def test_every_time_of_a_healthcheck(key: str) -> None:
    text = f'services: {{a: {{image: x, healthcheck: {{test: x, {key}: "{"1" * LENGTH}"}}}}}}\n'
    try_it(lambda: read({"compose.yaml": text.encode()}, "compose.yaml", {}))
