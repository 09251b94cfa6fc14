"""The shape of the code: how long its files and functions are, which modules import in a circle, which lie flat.

`make check` prints it in its last line; `tests/unit/test_shape.py` and `test_layout.py` hold it to bounds.
"""

import ast
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PRODUCT = ("orchestrator", "worker", "webhooks")
MEASURED = (*PRODUCT, "deploy")  # no migration: it is a list of what it adds, and never touched again

MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 45

# Longer ones, each with its reason. One that is short by now is taken off: a test fails until it is.
LONG_FILES = {
    "orchestrator/compose/schema/specification.py": "the Compose Specification as one table",
    "orchestrator/compose/policy/keys.py": "one word for each key of the language: tables",
    "orchestrator/adapters/engine/engine.py": "one method for each call to the Engine, and none that decides",
}
LONG_FUNCTIONS = {
    "orchestrator/adapters/caddy.py:caddyfile": "Caddy's configuration as one text, in its own order",
}


def sources() -> dict[str, str]:
    """The text of each file that is measured, by its path."""
    paths = (path for folder in MEASURED for path in sorted((ROOT / folder).rglob("*.py")))
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def files() -> dict[str, int]:
    """How many lines each file has."""
    return {path: text.count("\n") for path, text in sources().items()}


def functions() -> dict[str, int]:
    """How many lines each function and method has, by `path:name`; of two with one name the longer one's."""
    lengths: dict[str, int] = {}
    for path, text in sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                name = f"{path}:{node.name}"
                lengths[name] = max(lengths.get(name, 0), node.end_lineno - node.lineno + 1)
    return lengths


def circles() -> set[frozenset[str]]:
    """Modules that import each other, straight or by way of others: each knot once, and none of them is well."""
    graph = grimp.build_graph(*PRODUCT, "migrations", cache_dir=None)
    return {
        knot | {module}
        for module in graph.modules
        if (knot := frozenset(graph.find_upstream_modules(module) & graph.find_downstream_modules(module)))
    }


def flat() -> list[str]:
    """Modules that lie in the brain beside its folders."""
    return sorted(path.name for path in (ROOT / "orchestrator").glob("*.py") if path.name != "__init__.py")


def _longest(lengths: dict[str, int], excused: dict[str, str]) -> str:
    lines, place = max((lines, place) for place, lines in lengths.items() if place not in excused)
    return f"{place} with {lines} lines"


def main() -> None:
    file, function = _longest(files(), LONG_FILES), _longest(functions(), LONG_FUNCTIONS)
    excused = f"{len(LONG_FILES) + len(LONG_FUNCTIONS)} named exceptions"
    print(f"shape: longest file {file}, longest function {function}, {excused}, ", end="")
    print(f"{len(circles())} circles, {len(flat())} flat modules")


if __name__ == "__main__":
    main()
