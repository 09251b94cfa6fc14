"""`environment` and `env_file` of a service, from the file, the repository and an explicit map; never ours.

Pure; `service` calls it.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.compose.dotenv import Dotenv, parse, parse_raw
from orchestrator.compose.load import Node
from orchestrator.compose.paths import Tree, inside
from orchestrator.compose.scalars import boolean, items, mapping, refuse, scalar_text, text
from orchestrator.errors import ComposeError, Place

_EXAMPLE_ENDINGS = (".example", ".sample", ".template", ".dist")


@dataclass(slots=True, kw_only=True)
class Environment:
    """A service's variables while they are collected; later ones win."""

    tree: Tree
    variables: Mapping[str, str]
    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, frozenset[str]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)
    absent: list[tuple[Node, str]] = field(default_factory=list)
    """Each `env_file` that the repository does not hold, with its path."""
    warnings: list[str] = field(default_factory=list)

    def read_files(self, node: Node) -> None:
        """Takes every `env_file`, in order."""
        for item in items(node):
            self._read_file(item)

    def read_values(self, node: Node) -> None:
        """Takes `environment`. A name without a value comes from the variables, and is unset where they lack it."""
        for name, child in mapping(node).items():
            if not name:
                raise refuse(child, "a variable needs a name", "Write NAME=value.")
            self.places[name] = child.place
            if child.value is None:
                self._inherit(name)
            else:
                self._set(name, scalar_text(child), child.variables)

    def absence_warnings(self) -> Iterator[str]:
        """One sentence for each missing `env_file`, naming what nobody sets where an example file tells."""
        for node, path in self.absent:
            example, names = self._expected(path)
            nobody = sorted(names - set(self.values) - set(self.variables))
            if nobody:
                names_text = ", ".join(nobody)
                yield f"{node.place}: {path} is not in the repository; nobody sets {names_text} (from {example})."
            elif not example:
                yield f"{node.place}: {path} is not in the repository; what it sets on your machine is missing here."

    def _read_file(self, node: Node) -> None:
        found = mapping(node)
        name = found["path"]
        required = "required" not in found or boolean(found["required"])
        raw = "format" in found and _is_raw(found["format"])
        path = inside(name, text(name), "")
        data = self.tree.files.get(path)
        if data is not None:
            self._take(parse_raw(data, path) if raw else parse(data, path, self.variables), path)
        elif required:
            self.absent.append((name, path))

    def _take(self, found: Dotenv, path: str) -> None:
        for name, value in found.values.items():
            self.places[name] = Place(file=path, path=name)
            self._set(name, value, found.mentioned.get(name, frozenset()))
        self.warnings.extend(f"{path}: the variable {name} has no value." for name in sorted(found.missing))

    def _inherit(self, name: str) -> None:
        if name in self.variables:
            self._set(name, self.variables[name], frozenset({name}))
        else:
            # In Compose a name that nobody sets also takes away what an env_file gave it.
            self.values.pop(name, None)
            self.sources.pop(name, None)
            self.unset.add(name)

    def _set(self, name: str, value: str, mentioned: frozenset[str]) -> None:
        self.values[name] = value
        self.unset.discard(name)
        self.sources.pop(name, None)
        if mentioned:
            self.sources[name] = mentioned

    def _expected(self, path: str) -> tuple[str, frozenset[str]]:
        """The example file that stands in for `path`, and the names in it."""
        for example in _examples(path):
            data = self.tree.files.get(example)
            if data is not None:
                try:
                    return example, frozenset(parse(data, example, {}).values)
                except ComposeError:
                    continue  # an example only helps the warning: one that cannot be read must not fail the preview
        return "", frozenset()


def _examples(path: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    for stem in (path, posixpath.join(folder, ".env"), posixpath.join(folder, "env")):
        for ending in _EXAMPLE_ENDINGS:
            yield stem + ending


def _is_raw(node: Node) -> bool:
    if text(node) != "raw":
        raise refuse(node, f"unknown format `{node.value}`", "Write `format: raw`, or remove it.")
    return True
