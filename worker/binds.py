"""Where the files live that a Compose file binds from the repository: a copy of one commit's, writable, per preview.

Each bound path has a copy in a folder of its own, whose parents no container can write to. Were one bound path inside
another's copy, a container could put a link in its place, and the Engine would follow it to anywhere on the host.
"""

import hashlib
from pathlib import Path

from orchestrator.preview import PreviewId
from orchestrator.settings import Settings


def binds_folder(settings: Settings, preview: PreviewId) -> Path:
    """All of a preview's copies."""
    return settings.data_dir.resolve() / "binds" / str(preview)


def bind_source(settings: Settings, preview: PreviewId, commit: str, path: str) -> Path:
    """The copy of `path` as `commit` has it. Two services that bind the same path share it."""
    own = hashlib.sha256(path.encode()).hexdigest()[:16]
    return binds_folder(settings, preview) / commit / own / "content"
