"""What the product imports, it names in pyproject.toml: what comes by way of another package may go with it."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OWN = frozenset(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_every_import_is_declared() -> None:
    declared = {_normal(requirement) for requirement in PROJECT["project"]["dependencies"]}
    distributions = packages_distributions()
    missing = {
        module: sorted(files)
        for module, files in _imported().items()
        if declared.isdisjoint(map(_normal, distributions.get(module, [])))
    }
    assert missing == {}


def _imported() -> dict[str, set[str]]:
    """The top-level modules of others, each with the files that import it, also inside of functions."""
    found: dict[str, set[str]] = {}
    for path in (path for package in sorted(OWN) for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            for module in _modules(node):
                if module not in sys.stdlib_module_names | OWN:
                    found.setdefault(module, set()).add(path.relative_to(ROOT).as_posix())
    return found


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name.partition(".")[0] for name in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.partition(".")[0]]
    return []


def _normal(requirement: str) -> str:
    """The name of a distribution, as PEP 503 compares them."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()
