"""The lists of packages that people write, read: requirement lists, pyproject.toml, the Pipfile, setup.py. Pure.

Each reader raises ValueError for a text that cannot be read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.codebase.contents import table
from orchestrator.codebase.python.requirement import Requirement, named_lines, of_table, requirement
from orchestrator.codebase.toml import read_toml

_QUOTED = re.compile(r"""["']([A-Za-z][^"'\n]*)["']""")


def of_lines(text: str) -> Iterator[Requirement]:
    """One on each line, as pip reads them; the options of a `setup.cfg` do no harm."""
    for number, line in enumerate(text.splitlines(), start=1):
        if (found := requirement(line)) is not None:
            yield replace(found, line=number)


def of_pyproject(text: str) -> Iterator[Requirement]:
    """Those of the packaging standard's tables, and of Poetry's."""
    root, lines = read_toml(text), named_lines(text)
    project, poetry = table(root, "project"), table(root, "tool", "poetry")
    yield from _of_list(project.get("dependencies"), lines, is_main=True)
    yield from of_table(table(poetry, "dependencies"), lines)
    for listed in (*table(project, "optional-dependencies").values(), *table(root, "dependency-groups").values()):
        yield from _of_list(listed, lines, is_main=False)
    for group in table(poetry, "group").values():
        yield from of_table(table(group, "dependencies"), lines, is_main=False)


def of_pipfile(text: str) -> Iterator[Requirement]:
    """Those of its two usual tables."""
    root, lines = read_toml(text), named_lines(text)
    yield from of_table(table(root, "packages"), lines)
    yield from of_table(table(root, "dev-packages"), lines, is_main=False)


def of_setup(text: str) -> Iterator[Requirement]:
    """The words in quotes of a `setup.py`, which is a program: those at the usual places are requirements."""
    for number, line in enumerate(text.splitlines(), start=1):
        for word in _QUOTED.findall(line):
            if (found := requirement(word)) is not None:
                yield replace(found, line=number)


def _of_list(listed: object, lines: Mapping[str, int], *, is_main: bool) -> Iterator[Requirement]:
    """A list of strings; what else it holds, such as `{include-group = "x"}`, names no package."""
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, str) and (found := requirement(item)) is not None:
            yield replace(found, line=lines.get(found.name, 0), is_main=is_main)
