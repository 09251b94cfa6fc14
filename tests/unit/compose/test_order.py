"""Start order."""

import pytest

from orchestrator.compose.model import Dependency, Service
from orchestrator.compose.order import levels
from orchestrator.preview.errors import Place


def graph(**needs: str) -> dict[str, Service]:
    return {
        name: Service(
            name=name, place=Place(file="f"), depends_on={other: Dependency() for other in wanted.split(",") if other}
        )
        for name, wanted in needs.items()
    }


def test_levels_start_side_by_side() -> None:
    services = graph(web="api,cache", api="db,cache", db="", cache="", docs="")
    assert levels(services) == (("db", "cache", "docs"), ("api",), ("web",))


def test_a_dependency_that_does_not_start_is_no_reason_to_wait() -> None:
    assert levels(graph(a="gone")) == (("a",),)


def test_levels_of_a_circle_end() -> None:
    with pytest.raises(ValueError, match="circle"):
        levels(graph(a="b", b="a"))
