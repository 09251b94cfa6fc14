"""Where the files live that a Compose file binds from the repository: a copy of one commit's, writable, per preview."""

from pathlib import Path

from orchestrator.preview import PreviewId
from orchestrator.settings import Settings


def binds_folder(settings: Settings, preview: PreviewId) -> Path:
    """All of a preview's copies."""
    return settings.data_dir.resolve() / "binds" / str(preview)


def bind_source(settings: Settings, preview: PreviewId, commit: str, path: str) -> Path:
    """The copy of `path` as `commit` has it."""
    return binds_folder(settings, preview) / commit / path
