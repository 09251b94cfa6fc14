"""A repository's Alembic revisions, as Alembic would find them. Pure: they are parsed, and never imported.

The database step asks it whether a template's revision is known, what of an applied migration changed, and what stands
in the way of `alembic upgrade head`. Other migration tools are not read: their databases are migrated, never compared.
"""

import ast
import hashlib
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.codebase.alembic.config import Location, locations
from orchestrator.codebase.contents import data_of
from orchestrator.codebase.files import MAX_MIGRATIONS
from orchestrator.codebase.python.syntax import parse
from orchestrator.preview.errors import Place

MAX_REVISION_BYTES = 256 * 1024
_REVISION_FILE = re.compile(r"(?!\.#|__init__)[^/]*\.py")
MAX_NAMES, MAX_NAME_LENGTH = 100, 200
"""Of the revisions that one migration comes after, and of their ids: nobody has more, and all may end in a message."""
_FIELDS = ("revision", "down_revision", "branch_labels", "depends_on")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFault:
    """Something that keeps Alembic from upgrading."""

    place: Place
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of a versions folder."""

    id: str
    path: str
    digest: str
    """SHA-256 of its content, line ends made equal."""
    down: tuple[str, ...] = ()
    """The revisions that it comes after: none for a base, several for a merge."""
    labels: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """`depends_on`: revisions of other branches that must be there before."""
    line: int = 0
    """Where it says which revisions it comes after; 0 where it does not."""

    @property
    def place(self) -> Place:
        return Place(file=self.path, line=self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationTree:
    """All revisions of a repository, by id, in the order of their paths."""

    folders: tuple[str, ...]
    migrations: Mapping[str, Migration]
    faults: tuple[MigrationFault, ...] = ()
    """What could not be read. `diagnose` tells these, and what is wrong between the revisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What became of migrations that a database has had already."""

    changed: tuple[str, ...] = ()
    """Paths whose content is another one now."""
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


def read_tree(files: Mapping[str, bytes], override: str | None = None) -> MigrationTree | None:
    """The revisions of a repository; None where it has none, or more than MAX_MIGRATIONS.

    `override` is `x-preview.database.migrations`.
    """
    location = locations(files, override)
    paths = _revision_files(files, location)
    if not paths or len(paths) > MAX_MIGRATIONS:
        return None
    migrations: dict[str, Migration] = {}
    faults: list[MigrationFault] = []
    for path in paths:
        found = _read(path, data_of(files, path))
        if isinstance(found, MigrationFault):
            faults.append(found)
        elif found.id in migrations:
            faults.append(_twice(found, migrations[found.id]))
        else:
            migrations[found.id] = found
    return MigrationTree(folders=location.folders, migrations=migrations, faults=tuple(faults))


def heads(tree: MigrationTree) -> tuple[Migration, ...]:
    """The revisions that no other one comes after."""
    followed = {down for migration in tree.migrations.values() for down in migration.down}
    return tuple(migration for migration in tree.migrations.values() if migration.id not in followed)


def is_known(tree: MigrationTree, revision: str) -> bool:
    """Whether a database at this revision can be upgraded by this tree."""
    return revision in tree.migrations


def applied(tree: MigrationTree, revisions: Iterable[str]) -> tuple[Migration, ...]:
    """What a database at these revisions has had, by the tree: they and all that they come after or depend on."""
    found: dict[str, Migration] = {}
    waiting = list(revisions)
    while waiting:
        migration = tree.migrations.get(waiting.pop())
        if migration is not None and migration.id not in found:
            found[migration.id] = migration
            waiting.extend((*migration.down, *migration.needs))
    return tuple(sorted(found.values(), key=lambda migration: migration.path))


def recorded(tree: MigrationTree, revisions: Iterable[str]) -> Mapping[str, str]:
    """Path to digest of what a database at these revisions has had: to be kept, and held against later trees."""
    return {migration.path: migration.digest for migration in applied(tree, revisions)}


def drift(record: Mapping[str, str], tree: MigrationTree | None) -> Drift:
    """What became of recorded migrations. A file that was only moved or renamed is the same."""
    now = {} if tree is None else {migration.path: migration.digest for migration in tree.migrations.values()}
    contents = frozenset(now.values())
    gone = {path: digest for path, digest in record.items() if now.get(path) != digest and digest not in contents}
    return Drift(
        changed=tuple(sorted(path for path in gone if path in now)),
        removed=tuple(sorted(path for path in gone if path not in now)),
    )


def diagnose(tree: MigrationTree) -> tuple[MigrationFault, ...]:
    """Everything that keeps `alembic upgrade head` from running: each thing once, with its remedy."""
    faults = [*tree.faults, *_unknown(tree)]
    circle = _circle(tree)
    if circle:
        faults.append(_in_a_circle(circle))
    elif not faults and len(found := heads(tree)) > 1:
        faults.append(_several(found))
    return tuple(faults)


# Reading


def _revision_files(files: Mapping[str, bytes], location: Location) -> list[str]:
    folders = frozenset(location.folders)
    found = []
    for path in files:
        folder, name = posixpath.split(path)
        is_inside = folder in folders or (location.recursive and any(folder.startswith(f"{each}/") for each in folders))
        if is_inside and _REVISION_FILE.fullmatch(name):
            found.append(path)
    return sorted(found)


def _read(path: str, content: bytes) -> Migration | MigrationFault:
    if len(content) > MAX_REVISION_BYTES:
        return MigrationFault(
            place=Place(file=path),
            message=f"this migration is larger than {MAX_REVISION_BYTES} bytes",
            remedy="Move data out of it, into a file that it reads.",
        )
    try:
        tree = parse(content)
    except SyntaxError as error:
        return _unreadable(Place(file=path, line=error.lineno or 0), "this migration is not valid Python")
    except ValueError:
        return _unreadable(Place(file=path), "this migration cannot be parsed")
    return _migration(path, content, dict(_assigned(tree)))


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """The revision's fields, as the module assigns them."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in _FIELDS:
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in _FIELDS:
                yield name, value
            case _:
                pass


def _migration(path: str, content: bytes, fields: Mapping[str, ast.expr]) -> Migration | MigrationFault:
    values: dict[str, tuple[str, ...]] = {}
    for name in _FIELDS:
        found = _names(fields[name]) if name in fields else ()
        if found is None:
            place = Place(file=path, line=fields[name].lineno)
            return _unreadable(place, f"`{name}` is no string that is written out, or too long", f'Write {name} = "…".')
        values[name] = found
    if len(values["revision"]) != 1:
        return _unreadable(Place(file=path), "this file names no revision", 'Write revision = "…", or move it away.')
    line = fields["down_revision"].lineno if "down_revision" in fields else 0
    return Migration(
        id=values["revision"][0],
        path=path,
        digest=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest(),
        down=values["down_revision"],
        labels=values["branch_labels"],
        needs=values["depends_on"],
        line=line,
    )


def _names(value: ast.expr) -> tuple[str, ...] | None:
    """A string, several, or None for nothing, as Alembic takes them. None where it is something else, or too much."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if found is None:
        return ()
    names = (found,) if isinstance(found, str) else found
    if not isinstance(names, tuple | list | set) or len(names) > MAX_NAMES:
        return None
    is_usual = all(isinstance(name, str) and len(name) <= MAX_NAME_LENGTH for name in names)
    return tuple(names) if is_usual else None


# What is wrong


def _unreadable(
    place: Place, message: str, remedy: str = "Correct it: Alembic loads every file of the folder."
) -> MigrationFault:
    return MigrationFault(place=place, message=message, remedy=remedy)


def _twice(found: Migration, first: Migration) -> MigrationFault:
    return MigrationFault(
        place=found.place,
        message=f"the revision {found.id} is also the one of {first.path}",
        remedy="Give one of them another id, in `revision` and where others name it as `down_revision`.",
    )


def _unknown(tree: MigrationTree) -> Iterator[MigrationFault]:
    labels = {label for migration in tree.migrations.values() for label in migration.labels}
    for migration in tree.migrations.values():
        known = tree.migrations.keys() | labels
        for missing in (*(each for each in migration.down if each not in tree.migrations), *_without(migration, known)):
            yield MigrationFault(
                place=migration.place,
                message=f"it comes after the revision {missing}, which no file has",
                remedy=f"Add the file of {missing} to the commit, or correct `down_revision`.",
            )


def _without(migration: Migration, known: Collection[str]) -> Iterator[str]:
    return (need for need in migration.needs if need not in known)


def _circle(tree: MigrationTree) -> tuple[Migration, ...]:
    """Revisions that come after each other in a circle: what is left once all that can be ordered is taken away."""
    left = dict(tree.migrations)
    while ready := [each for each in left.values() if not any(down in left for down in each.down)]:
        for each in ready:
            del left[each.id]
    return tuple(left.values())


def _in_a_circle(circle: Sequence[Migration]) -> MigrationFault:
    return MigrationFault(
        place=circle[0].place,
        message=f"revisions come after each other in a circle: {_listed(circle)}",
        remedy="Correct `down_revision` in one of them.",
    )


def _several(found: Sequence[Migration]) -> MigrationFault:
    return MigrationFault(
        place=found[-1].place,
        message=f"there are {len(found)} heads, and `upgrade head` takes one: {_listed(found)}",
        remedy="Join them with `alembic merge heads`, or correct `down_revision` in one of them.",
    )


def _listed(migrations: Iterable[Migration]) -> str:
    return ", ".join(f"{migration.id} ({migration.path})" for migration in migrations)
