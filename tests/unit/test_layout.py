"""The map in the folders' docstrings, held against the folders; and the tests, which lie where their modules lie."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.support import shape

ROOT = shape.ROOT
BRAIN = ROOT / "orchestrator"
UNIT = ROOT / "tests/unit"
FLOORS = "The brain's floors"

# Tests of a topic that several modules share, or that is a test's own; every other test_x.py has a module x.
TOPICS = {
    "adapters/test_fenced.py": "every adapter under a fence that fell",
    "adapters/github/test_pages.py": "lists that GitHub gives page by page",
    "adapters/github/test_writes.py": "what the client writes through all of its modules",
    "compose/database/test_shapes.py": "whole stacks, in the shapes in which people write their database",
    "compose/test_bombs.py": "files that are made to cost much",
    "compose/test_differential.py": "our reading beside Compose's own",
    "compose/test_messages.py": "the messages of all refusals",
    "webhooks/test_asked_for.py": "what API and dashboard alike have a worker do",
}


def packages() -> list[Path]:
    return [path.parent for name in shape.PRODUCT for path in sorted((ROOT / name).rglob("__init__.py"))]


def docstring(package: Path) -> str:
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""


def listing() -> dict[str, str]:
    return dict(re.findall(r"^(\w+) {2,}(\S.*)$", docstring(BRAIN), re.MULTILINE))


def test_the_brain_has_the_folders_that_its_docstring_lists_and_no_module_beside_them() -> None:
    assert set(listing()) == {path.parent.name for path in BRAIN.glob("*/__init__.py")}
    assert len(listing()) == 12
    assert shape.flat() == []


def test_the_list_goes_from_the_lowest_floor_to_the_highest() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [floors] = [contract["layers"] for contract in contracts if contract["name"] == FLOORS]
    height = {folder: place for place, floor in enumerate(reversed(floors)) for folder in floor.split(" | ")}
    assert [height[folder] for folder in listing()] == sorted(height.values())


@pytest.mark.parametrize("folder", listing())
def test_a_folder_of_the_brain_begins_with_its_line_of_the_list(folder: str) -> None:
    assert docstring(BRAIN / folder).partition("\n\n")[0] == listing()[folder]


@pytest.mark.parametrize("package", packages(), ids=lambda package: str(package.relative_to(ROOT)))
def test_a_package_begins_with_one_sentence(package: Path) -> None:
    first = docstring(package).partition("\n\n")[0]
    assert re.fullmatch(r"[^.!?]+\.", re.sub(r"`[^`]+`", "…", first)), first


def test_every_folder_with_code_is_a_package() -> None:
    with_code = {path.parent for name in shape.PRODUCT for path in (ROOT / name).rglob("*.py")}
    assert with_code == set(packages())


def mirrored() -> list[str]:
    tests = (path.relative_to(UNIT) for path in UNIT.glob("*/**/test_*.py"))
    return sorted(str(path) for path in tests if path.parts[0] != "forge")  # the stand-in for GitHub, tests/forge


def place(test: str) -> Path:
    """The module that a test is named after; tests of the doors lie in a folder of the door's name."""
    path = Path(test)
    return (ROOT if path.parts[0] in shape.PRODUCT else BRAIN) / path.parent / path.name.removeprefix("test_")


def test_tests_lie_in_the_folder_of_what_they_test() -> None:
    assert [test for test in mirrored() if not place(test).parent.is_dir()] == []


def test_a_test_is_named_after_its_module_or_has_a_topic_that_is_listed() -> None:
    nameless = [test for test in mirrored() if not place(test).is_file() and not place(test).with_suffix("").is_dir()]
    assert nameless == sorted(TOPICS)
