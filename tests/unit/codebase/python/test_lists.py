"""The lists that people write, and which of their packages the application itself needs."""

from collections.abc import Callable, Iterator

import pytest

from orchestrator.codebase.python.lists import of_lines, of_pipfile, of_pyproject, of_setup
from orchestrator.codebase.python.requirement import Requirement

PYPROJECT = """[project]
dependencies = ["fastapi>=0.1", 5]
[project.optional-dependencies]
cache = ["redis"]
[dependency-groups]
dev = [{include-group = "x"}, "pytest"]
[tool.poetry.dependencies]
asyncpg = "^0.29"
sentry = {version = "1", optional = true}
[tool.poetry.group.test.dependencies]
httpx = "*"
"""


@pytest.mark.parametrize(
    ("read", "text", "main", "others"),
    [
        (of_lines, "-r x\n# y\nflask==3 ; a\npsycopg\n", ["flask:3", "psycopg:4"], []),
        (of_pyproject, PYPROJECT, ["fastapi:2", "asyncpg:8"], ["sentry:9", "redis:4", "pytest:6", "httpx:11"]),
        (of_pipfile, '[packages]\nflask = "*"\n[dev-packages]\npytest = "*"\n', ["flask:2"], ["pytest:4"]),
        (of_setup, "setup(\n  install_requires=['flask>=3',\n  \"psycopg\"])\n", ["flask:2", "psycopg:3"], []),
        (of_pyproject, "", [], []),
        (of_pyproject, "project = 1\ndependency-groups = {a = 1}\n[tool.poetry]\ngroup = 1\n", [], []),
    ],
)
def test_what_lists_name(
    read: Callable[[str], Iterator[Requirement]], text: str, main: list[str], others: list[str]
) -> None:
    found = list(read(text))
    assert [f"{each.name}:{each.line}" for each in found if each.is_main] == main
    assert [f"{each.name}:{each.line}" for each in found if not each.is_main] == others


@pytest.mark.parametrize("read", [of_pyproject, of_pipfile])
def test_what_is_no_toml_says_so(read: Callable[[str], Iterator[Requirement]]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        list(read("[x"))
