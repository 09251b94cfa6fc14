"""Which extensions a repository's migrations and scripts create. Pure: found in their text."""

import re
from collections.abc import Iterable, Mapping

from orchestrator.codebase.contents import data_of, text_of
from orchestrator.codebase.files import migration_files
from orchestrator.preview.errors import Place

MAX_MIGRATION_BYTES = 256 * 1024
_CREATE = re.compile(rb"create\s+extension\s", re.IGNORECASE)
_NAMED = re.compile(
    r"create\s+extension\s+(?:if\s+not\s+exists\s+)?(?P<quote>\\?[\"']?)(?P<name>[a-z_][\w-]*)", re.IGNORECASE
)
_COMMENT = re.compile(r"^\s*(?:#|--)")
_BUILT_IN = frozenset({"plpgsql", "if"})


def created_extensions(files: Mapping[str, bytes], scripts: Iterable[str] = ()) -> Mapping[str, Place]:
    """The extensions by name, each with where it is created first: in a migration, or in one of `scripts`."""
    found: dict[str, Place] = {}
    for path in (*migration_files(files), *scripts):
        if not _CREATE.search(data_of(files, path)):
            continue
        for number, line in enumerate(text_of(files, path, MAX_MIGRATION_BYTES).splitlines(), start=1):
            match = None if _COMMENT.match(line) else _NAMED.search(line)
            if match is not None and match["name"].lower() not in _BUILT_IN:
                found.setdefault(match["name"].lower(), Place(file=path, line=number))
    return found
