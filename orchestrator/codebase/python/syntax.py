"""Modules of a repository, parsed with `ast` and never imported, and what the names in them stand for. Pure.

A module of hostile size or syntax costs little: it is left out, and said so.
"""

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.codebase.contents import data_of
from orchestrator.preview.errors import Place

MAX_MODULE_BYTES = 128 * 1024
"""Of one module. A larger one is generated."""
MAX_PARSED_BYTES = 512 * 1024
"""Of all modules together: what a worker parses in a second or two, whatever the repository holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One parsed module."""

    path: str
    tree: ast.Module
    names: Mapping[str, str]
    """What its imported names stand for: `FastAPI` for `fastapi.FastAPI`, `sa` for `sqlalchemy`."""

    def place(self, node: ast.expr | ast.stmt) -> Place:
        return Place(file=self.path, line=node.lineno)


def read_modules(
    files: Mapping[str, bytes], paths: Iterable[str], may_tell: Callable[[str, bytes], bool]
) -> tuple[list[Module], list[str]]:
    """The modules whose path and content may tell something, and the paths of those that could not be read."""
    found: list[Module] = []
    unread: list[str] = []
    left = MAX_PARSED_BYTES
    for path in paths:
        content = data_of(files, path)
        if not may_tell(path, content):
            continue
        if len(content) > min(MAX_MODULE_BYTES, left):
            unread.append(path)
            continue
        left -= len(content)
        try:
            tree = parse(content)
        except (SyntaxError, ValueError):
            unread.append(path)
        else:
            found.append(Module(path=path, tree=tree, names=dict(_imported_names(tree))))
    return found, unread


def parse(content: bytes) -> ast.Module:
    """Raises SyntaxError, and ValueError for what only an attacker writes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the repository's own style, such as an invalid escape
            return ast.parse(content)
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deeply") from None


def full_name(node: ast.expr, names: Mapping[str, str]) -> str:
    """`fastapi.FastAPI` for a name or an attribute that stands for it; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((names.get(node.id, node.id), *reversed(parts)))


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Every module that may be imported by its full name: of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Wherever in the module they are imported. `import a.b` binds `a`, which stands for itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.asname, each.name) for each in node.names if each.asname)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)
