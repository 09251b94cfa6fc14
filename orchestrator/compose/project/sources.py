"""The Compose files of a repository as they are read: each once per set of variables, and not without end.

Pure; `extends`, `include` and `project` share one `Sources` for a whole project.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.compose.project.paths import inside
from orchestrator.compose.syntax import dotenv
from orchestrator.compose.syntax.interpolate import Missing, interpolated
from orchestrator.compose.syntax.load import MAX_NODES, Node, load
from orchestrator.preview.errors import ComposeError, Place

MAX_FILES = 100
"""Files that one project may be put together from, a file that is included twice counted twice."""
MAX_READ = 1024 * 1024
"""Bytes of all the files that one project is read from, files of variables among them."""
MAX_LOADED = 5 * MAX_NODES
"""Values of all the Compose files that are parsed for one project, whether it takes them over or not."""


class Metered(Mapping[str, bytes]):
    """A repository's files while one project is read: no more of them than MAX_FILES, and no more than MAX_READ."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._sizes: dict[str, int] = {}
        self._bytes = 0

    def __getitem__(self, path: str) -> bytes:
        """Raises ComposeError for the file that is one too many."""
        data = self._files[path]
        if path not in self._sizes:
            self._sizes[path] = len(data)
            self._bytes += len(data)
            if len(self._sizes) > MAX_FILES:
                raise ComposeError(Place(file=path), f"the project needs more than {MAX_FILES} files", _FEWER)
            if self._bytes > MAX_READ:
                what = f"the project's files hold more than {MAX_READ} bytes in all"
                raise ComposeError(Place(file=path), what, _FEWER)
        return data

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


_FEWER = "Leave out what the preview does not need of `include`, `extends` and `env_file`."


@dataclass(slots=True, kw_only=True)
class VariableFiles:
    """The files that services take their variables from, each parsed once for all of them."""

    files: Mapping[str, bytes]
    variables: Mapping[str, str]
    _parsed: dict[tuple[str, str], dotenv.Dotenv] = field(default_factory=dict)

    def plain(self, path: str) -> dotenv.Dotenv:
        """An `env_file`."""
        return self._once(path, "plain", lambda data: dotenv.parse(data, path, self.variables))

    def raw(self, path: str) -> dotenv.Dotenv:
        """An `env_file` of `format: raw`."""
        return self._once(path, "raw", lambda data: dotenv.parse_raw(data, path))

    def example(self, path: str) -> frozenset[str]:
        """The names in a file that only shows what a file of variables could set; none where it cannot be read."""
        return frozenset(self._once(path, "example", lambda data: _example(data, path)).values)

    def _once(self, path: str, how: str, parse: Callable[[bytes], dotenv.Dotenv]) -> dotenv.Dotenv:
        if (path, how) not in self._parsed:
            self._parsed[path, how] = parse(self.files[path])
        return self._parsed[path, how]


def _example(data: bytes, path: str) -> dotenv.Dotenv:
    try:
        return dotenv.parse(data, path, {})
    except ComposeError:
        # It only helps a warning: one that cannot be read must not fail the preview.
        return dotenv.Dotenv(values={}, mentioned={}, missing=frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the paths and the variables of a Compose file are looked up in."""

    folder: str
    """The project directory: a folder of the repository, `.` for its root."""
    variables: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Sources:
    """The repository, what was read of it, and the limits on reading on."""

    files: Mapping[str, bytes]
    forgiven: list[ComposeError] | None = None
    """Where given, a variable that is required and has no value is read as empty, and its error is put here."""
    read: list[str] = field(default_factory=list)
    missing: Missing = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _trees: dict[tuple[str, int], tuple[Node, Mapping[str, str]]] = field(default_factory=dict)
    _nodes: int = 0
    _loaded: int = 0
    _entered: int = 0

    def tree(self, path: str, variables: Mapping[str, str], asked: Node | None = None) -> Node:
        """The root of a Compose file, interpolated. `asked` is the value that names the file."""
        key = (path, id(variables))
        if key not in self._trees:
            if path not in self.files:
                place = Place(file=path) if asked is None else asked.place
                raise ComposeError(place, f"{path} is not in the repository", f"Add {path}, or correct the path.")
            self.read.append(path)
            _check_files(len(self.read), path, asked)
            loaded = load(self.files[path], path)
            self._loaded += loaded.weight
            if self._loaded > MAX_LOADED:
                raise ComposeError(Place(file=path), f"the project's files hold more than {MAX_LOADED} values", _FEWER)
            root, missing = interpolated(loaded, variables, self.forgiven)
            for name, place in missing.items():
                self.missing.setdefault(name, place)
            # The variables are kept beside the tree, so that their id is not given to other ones.
            self._trees[key] = (root, variables)
        return self._trees[key][0]

    def dotenv(self, path: str, variables: Mapping[str, str]) -> Mapping[str, str]:
        """What the file of variables at `path` sets."""
        found = dotenv.parse(self.files[path], path, variables)
        self.warnings.extend(f"{path}: the variable {name} has no value." for name in sorted(found.missing))
        return found.values

    def spend(self, node: Node) -> None:
        """Counts a tree that becomes part of the project, before it is copied further."""
        self._nodes += size_of(node)
        if self._nodes > MAX_NODES:
            raise ComposeError(
                node.place,
                f"the project has more than {MAX_NODES} values once `extends` and `include` are followed",
                "Extend fewer services, or include fewer files.",
            )

    def enter(self, path: str, asked: Node | None) -> None:
        """Counts a file each time that it becomes part of the project."""
        self._entered += 1
        _check_files(self._entered, path, asked)


def _check_files(count: int, path: str, asked: Node | None) -> None:
    if count > MAX_FILES:
        place = Place(file=path) if asked is None else asked.place
        raise ComposeError(place, f"the project needs more than {MAX_FILES} files", "Put them together.")


def beside(node: Node, written: str, scope: Scope) -> str:
    """The Compose file or folder that `written` names, inside the repository."""
    return inside(node, written, scope.folder)


def size_of(node: Node) -> int:
    """How many values a tree holds."""
    value = node.value
    if isinstance(value, dict):
        return 1 + sum(size_of(child) for child in value.values())
    if isinstance(value, tuple):
        return 1 + sum(size_of(child) for child in value)
    return 1
