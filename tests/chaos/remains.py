"""An independent look for what nobody owns: the Engine, Postgres, the disk and the kernel, by their own means.

No code of previewd's is asked what a thing is called or whose it is: names and labels are read here once more.
"""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from tests.chaos.stage import Stage
from tests.chaos.watch import Key
from tests.support.engine import engine, objects_of

_REPOSITORY, _PULL = "dev.previewd.repository", "dev.previewd.pull"


async def remains(stage: Stage, alive: Collection[Key]) -> list[str]:
    """Everything of this installation that belongs to none of these previews, in words."""
    found = await asyncio.gather(
        asyncio.to_thread(_on_engine, stage, alive),
        _in_postgres(stage, alive),
        _subnets(stage, alive),
        asyncio.to_thread(_on_disk, stage, alive),
    )
    return sorted(line for lines in found for line in lines)


def bridges_without_network() -> set[str]:
    """Bridges that the kernel's packet filter knows and the Engine does not; nothing where neither can be asked."""
    program = shutil.which("iptables-save", path="/usr/sbin:/sbin:/usr/bin")
    if program is None:
        return set()
    rules = subprocess.run([program], capture_output=True, text=True, check=False).stdout
    with engine() as api:
        known = {f"br-{network['Id'][:12]}" for network in api.networks()}
    return set(re.findall(r"br-[0-9a-f]{12}", rules)) - known


def _on_engine(stage: Stage, alive: Collection[Key]) -> list[str]:
    repositories = {repository for repository, _ in alive}
    found = []
    for thing in objects_of(stage.instance):
        repository, pull = int(thing.labels.get(_REPOSITORY, 0)), int(thing.labels.get(_PULL, 0))
        owned = repository in repositories if thing.kind == "image" else (repository, pull) in alive
        if not owned:
            found.append(f"{thing.kind} {thing.id[:24]} of {repository}-{pull}")
    return found


async def _in_postgres(stage: Stage, alive: Collection[Key]) -> list[str]:
    """Databases and roles, half-made and half-dropped ones too."""
    query = "SELECT 'database', datname FROM pg_database UNION ALL SELECT 'role', rolname FROM pg_roles"
    repositories = {repository for repository, _ in alive}
    found = []
    for kind, name in await stage.rows(query, server="previews-postgres"):
        match = re.fullmatch(rf"{stage.instance}_(\d+)_(\d+|t[0-9a-f]+)(_\w+)?", name)
        if match is None:
            continue
        repository, which = int(match[1]), match[2]
        if not (repository in repositories if which.startswith("t") else (repository, int(which)) in alive):
            found.append(f"{kind} {name}")
    return found


async def _subnets(stage: Stage, alive: Collection[Key]) -> list[str]:
    rows = await stage.rows("SELECT repository, number, subnet FROM subnets WHERE repository IS NOT NULL")
    return [f"subnet {row['subnet']}" for row in rows if (row["repository"], row["number"]) not in alive]


def _on_disk(stage: Stage, alive: Collection[Key]) -> list[str]:
    repositories = stage.data_dir / "repositories"
    kept = {f"{repository}-{number}" for repository, number in alive}
    folders = [f"folder {folder}" for folder in _below(stage.data_dir / "binds") if folder.name not in kept]
    refs = [f"ref {ref} of {bare.name}" for bare in repositories.glob("*.git") for ref in _refs(bare, alive)]
    return [*folders, *refs]


def _refs(bare: Path, alive: Collection[Key]) -> Iterable[str]:
    command = ["git", "-C", str(bare), "for-each-ref", "--format=%(refname)"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    repository = int(bare.stem)
    wanted = {f"refs/previewd/{number}" for owner, number in alive if owner == repository}
    if wanted:
        wanted.add("refs/previewd/0")  # the base branch, from which its database's template is made
    return [ref for ref in listed if ref not in wanted]


def _below(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []
