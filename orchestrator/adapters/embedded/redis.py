"""A Redis server in DATA_DIR, on loopback, with nothing on disk but its configuration.

Redis carries wake-ups only: whatever it forgets, the worker's sweep finds again in Postgres.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from orchestrator.adapters.embedded import addresses, programs
from orchestrator.adapters.embedded.programs import Program
from orchestrator.adapters.embedded.supervisor import Part
from orchestrator.runtime.data_dir import write_private

LOOPBACK = "127.0.0.1"
MEMORY = "128mb"
CONNECT_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """One server: where it lives, and its password."""

    program: Program
    home: Path
    port: int
    password: str = field(repr=False)
    name: str = "redis"
    user: str = field(default_factory=programs.account)
    """The account it runs as; empty means ours."""

    @property
    def url(self) -> str:
        """The password has no character that a URL would escape."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def file(self) -> Path:
        """The configuration, which holds the password's hash."""
        return self.home / "redis.conf"


async def prepare(server: RedisServer) -> None:
    """Write the configuration. ConfigurationError when the account may not reach it."""
    server.home.mkdir(parents=True, exist_ok=True)
    programs.require_entry(server.home, server.user)
    addresses.require_free(server.name, LOOPBACK, server.port)
    write_private(server.file, configuration(server))
    if server.user:
        shutil.chown(server.home, server.user)
        shutil.chown(server.file, server.user)


def part(server: RedisServer, log: Path) -> Part:
    """The server for the supervisor."""
    return Part(
        name=server.name,
        argv=(str(server.program.path), str(server.file)),
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        cwd=server.home,
        log=log,
        ready=lambda: answers(server),
        user=server.user,
    )


async def answers(server: RedisServer) -> bool:
    """Whether it takes the password and answers."""
    client: Redis = Redis.from_url(server.url, socket_connect_timeout=CONNECT_SECONDS)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


def configuration(server: RedisServer) -> str:
    """The text of redis.conf.

    The one user may neither run scripts, where old versions have holes (arq needs none: it uses transactions), nor
    change the server's configuration, which is how a file would be written through it.
    """
    digest = hashlib.sha256(server.password.encode()).hexdigest()
    lines = (
        f"bind {LOOPBACK}",
        f"port {server.port}",
        "protected-mode yes",
        f"user default on #{digest} ~* &* +@all -@scripting -@admin +client",
        'save ""',
        "appendonly no",
        f'dir "{server.home}"',
        f"maxmemory {MEMORY}",
        "maxmemory-policy noeviction",
        "daemonize no",
        'logfile ""',
    )
    return "\n".join(("# Written by previewd at every start.", *lines, ""))
