"""ARCHITECTURE.md held against the folders and the contracts, and what texts say of modules against the modules."""

import ast
import importlib
import itertools
import re
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from tests.support.shape import PRODUCT, ROOT

PAGE = (ROOT / "ARCHITECTURE.md").read_text()
DOORS = ("worker", "webhooks")

# Here also short names such as `fence.require()` have to be those of modules; elsewhere full ones only.
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/decisions.md", "docs/fencing.md")
PAGES = (*GUIDES, "README.md", "SECURITY.md", "docs/operating.md")

FULL = re.compile(r"(?:orchestrator|worker|webhooks|tests|deploy|migrations|docs|examples)(?:[./][\w.-]+)+/?(?:\(\))?")
OF_PRODUCT = re.compile(r"(?:orchestrator|worker|webhooks)(?:[./][\w.-]+)+/?(?:\(\))?")
SHORT = re.compile(r"[a-z_]+(?:\.\w+)+(?:\(\))?")
FILES = (".py", ".md", ".toml", ".lock", ".yaml", ".yml", ".json", ".conf")


def contract(name: str) -> dict[str, list[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [found] = [one for one in contracts if one["name"] == name]
    return dict(found)


def docstring(module: Path) -> str:
    return ast.get_docstring(ast.parse(module.read_text())) or ""


def first_sentence(package: Path) -> str:
    return docstring(package / "__init__.py").partition("\n\n")[0]


def folders(of: Path) -> list[Path]:
    return sorted(path.parent for path in of.glob("*/__init__.py"))


def arrows() -> set[tuple[str, str]]:
    """Each arrow of the graph, as whom it leads from and to."""
    found = set()
    [graph] = re.findall(r"```mermaid\nflowchart BT\n(.*?)```", PAGE, re.DOTALL)
    for line in graph.splitlines():
        steps = [step.split(" & ") for step in re.split(r" --> | -\. .*? \.-> ", line.strip())]
        for low, high in itertools.pairwise(steps):
            found |= set(itertools.product(low, high))
    return found


def test_a_newcomer_reads_it_in_one_sitting() -> None:
    assert PAGE.count("\n") <= 100


def test_the_brains_table_is_the_list_in_its_docstring_and_marks_what_does_no_io() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (✔)? ?\|$", PAGE, re.MULTILINE)
    listed = re.findall(r"^(\w+) {2,}(\S.*)$", (ROOT / "orchestrator/__init__.py").read_text(), re.MULTILINE)
    assert [(folder, sentence) for folder, sentence, _ in rows] == listed
    pure = {name.removeprefix("orchestrator.") for name in contract("What decides does no I/O")["source_modules"]}
    assert {folder for folder, _, mark in rows if mark} == pure & {folder for folder, _ in listed}


def test_the_doors_table_has_each_of_their_folders_with_its_sentence() -> None:
    rows = dict(re.findall(r"^\| `((?:worker|webhooks)/\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows == {f"{door}/{path.name}": first_sentence(path) for door in DOORS for path in folders(ROOT / door)}


def test_the_graphs_arrows_lead_from_each_floor_to_the_next() -> None:
    floors = [floor.split(" | ") for floor in reversed(contract("The brain's floors")["layers"])]
    expected = {pair for low, high in itertools.pairwise(floors) for pair in itertools.product(low, high)}
    assert {(low, high) for low, high in arrows() if high not in DOORS} == expected


def test_the_graphs_arrows_to_the_doors_are_imports() -> None:
    graph = grimp.build_graph(*PRODUCT, cache_dir=None)
    to_doors = {(low, high) for low, high in arrows() if high in DOORS}
    assert {high for _, high in to_doors} == set(DOORS)
    for folder in {low for low, _ in to_doors}:
        graph.squash_module(f"orchestrator.{folder}")
    for door in DOORS:
        graph.squash_module(door)
    assert [
        (low, high)
        for low, high in to_doors
        if not graph.direct_import_exists(importer=high, imported=f"orchestrator.{low}")
    ] == []


def test_a_module_that_calls_itself_pure_is_held_to_it() -> None:
    held = contract("What decides does no I/O")["source_modules"]
    says = [path for name in PRODUCT for path in sorted((ROOT / name).rglob("*.py")) if "Pure" in docstring(path)]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in says]
    assert [name for name in names if not any(f"{name}.".startswith(f"{one}.") for one in held)] == []


# What texts refer to


def modules() -> set[str]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in (*PRODUCT, "tests")
        for path in (ROOT / name).rglob("*.py")
    }


MODULES = modules()


def has(module: str, names: list[str]) -> bool:
    found: object = importlib.import_module(module)
    for name in names:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def exists(reference: str) -> bool:
    """Whether a path is there, or a dotted name is a module or something in one."""
    if "/" in reference:
        return (ROOT / reference).exists() or (ROOT / f"{reference}.py").is_file()
    parts = reference.removesuffix("()").split(".")
    for end in range(len(parts), 0, -1):
        ending = ".".join(parts[:end])
        fitting = [module for module in MODULES if module == ending or module.endswith(f".{ending}")]
        if fitting:
            return any(has(module, parts[end:]) for module in fitting)
    return False


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def is_short(name: str) -> bool:
    first, *_ = name.split(".")
    return bool(SHORT.fullmatch(name)) and not name.endswith(FILES) and first not in sys.stdlib_module_names


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_refers_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    named = [name for name in quoted(text) if FULL.fullmatch(name) or (page in GUIDES and is_short(name))]
    assert [name for name in named if not exists(name)] == []
    links = re.findall(r"\]\(([\w./-]+)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_what_docstrings_and_comments_refer_to_by_its_full_name_is_there() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in (*PRODUCT, "deploy", "migrations", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in quoted(path.read_text())
        if OF_PRODUCT.fullmatch(name) and not exists(name)
    ]
    assert wrong == []
