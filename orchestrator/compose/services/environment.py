"""`environment` and `env_file` of a service, from the file, the repository and an explicit map; never ours.

Pure; `service` calls it.
"""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.compose.project.paths import inside
from orchestrator.compose.project.sources import VariableFiles
from orchestrator.compose.syntax.casts import boolean, items, mapping, refuse, scalar_text, text
from orchestrator.compose.syntax.dotenv import Dotenv
from orchestrator.compose.syntax.load import Node
from orchestrator.preview.errors import Place

MAX_VARIABLES = 10_000
"""Variables that all the files of one service may set, one that is set twice counted twice."""

_EXAMPLE_ENDINGS = (".example", ".sample", ".template", ".dist")


@dataclass(slots=True, kw_only=True)
class Environment:
    """A service's variables while they are collected; later ones win."""

    files: VariableFiles
    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, frozenset[str]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    unset: set[str] = field(default_factory=set)
    absent: dict[str, Node] = field(default_factory=dict)
    """Each `env_file` that the repository does not hold, by its path."""
    warnings: list[str] = field(default_factory=list)
    _taken: int = 0

    @property
    def variables(self) -> Mapping[str, str]:
        """Those of the project: what a name without a value gets its value from."""
        return self.files.variables

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
        known = self.values.keys() | self.variables.keys()
        for path, node in self.absent.items():
            example, names = self._expected(path)
            nobody = sorted(names - known)
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
        if path in self.files.files:
            found_there = self.files.raw(path) if raw else self.files.plain(path)
            self._spend(len(found_there.values), name)
            self._take(found_there, path)
        elif required:
            self._spend(len(self._expected(path)[1]), name)
            self.absent.setdefault(path, name)

    def _spend(self, names: int, node: Node) -> None:
        """Counts a file and what it sets, before it is taken."""
        self._taken += 1 + names
        if self._taken > MAX_VARIABLES:
            what = f"the service's files set more than {MAX_VARIABLES} variables"
            raise refuse(node, what, "Give the service only what it needs.")

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
            names = self.files.example(example) if example in self.files.files else frozenset()
            if names:
                return example, names
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
