"""The disks and the memory of the machine that previews run on, as far as the worker can see them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.admission.room import Disk, Machine
from orchestrator.runtime.settings import Settings

_MEMORY = Path("/proc/meminfo")


@dataclass(slots=True, kw_only=True)
class WatchedMachine:
    """What is looked at. By default nothing is, and nothing of the machine limits anybody."""

    data_dir: Path | None = None
    engine_root: Path | None = None
    """Where the Engine keeps images, containers and volumes; known once it was asked, and only if it is seen here."""
    has_engine: bool = False
    """Whether the Engine runs on this machine: another one's memory cannot be seen from here."""

    @classmethod
    def of(cls, settings: Settings) -> "WatchedMachine":
        local = urlsplit(settings.docker_host).scheme == "unix"
        return cls(data_dir=settings.data_dir.resolve(), has_engine=local)

    def look(self) -> Machine:
        """A few microseconds: neither disk nor network is waited for."""
        disks = (("the disk of previewd's data", self.data_dir), ("the disk of the Docker Engine", self.engine_root))
        return Machine(
            disks=tuple(Disk(name=name, free=shutil.disk_usage(path).free) for name, path in disks if path is not None),
            memory=_available_memory() if self.has_engine else None,
        )

    def found_engine_root(self, root: str) -> None:
        """Watch its disk too, if that is in sight: a worker in a container may not see it."""
        if self.has_engine and Path(root).is_dir():
            self.engine_root = Path(root)


def _available_memory() -> int | None:
    """MemAvailable: what programs can have without swapping, page cache that can be given up included."""
    try:
        lines = _MEMORY.read_text().splitlines()
    except OSError:
        return None
    kibibytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kibibytes is None else int(kibibytes) << 10
