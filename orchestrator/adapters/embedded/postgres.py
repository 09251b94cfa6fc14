"""A Postgres server in DATA_DIR: made once, configured anew at each start.

Two run side by side: one holds previewd's own state and listens on loopback only, one holds the previews'
databases and listens on the bridge's gateway as well. Postgres refuses to run as root, so it then runs as nobody.
"""

import asyncio
import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from orchestrator.adapters.embedded import addresses, programs
from orchestrator.adapters.embedded.programs import Program
from orchestrator.adapters.embedded.supervisor import Part
from orchestrator.preview.errors import ConfigurationError, OperatorError
from orchestrator.runtime.data_dir import write_private

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 3.0
GONE_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """One server: what it is called, where it lives, who gets in from where."""

    name: str
    program: Program
    home: Path
    """Its directory; the cluster is in `data` below it."""
    port: int
    password: str = field(repr=False)
    admin: str = "previewd"
    database: str = "postgres"
    """The database that is made with the server, for the admin to use."""
    gateways: tuple[str, ...] = ()
    """Addresses besides loopback to listen on, for roles other than the admin."""
    max_connections: int = 100
    settings: Mapping[str, str] = field(default_factory=dict)
    """More lines of postgresql.conf."""
    user: str = field(default_factory=programs.account)
    """The account it runs as; empty means ours."""

    @property
    def data(self) -> Path:
        """The cluster's directory."""
        return self.home / "data"

    @property
    def url(self) -> str:
        """For the admin, without a driver's name. The password has no character that a URL would escape."""
        return f"postgresql://{self.admin}:{self.password}@{LOOPBACK}:{self.port}/{self.database}"


async def prepare(server: PostgresServer) -> None:
    """Make the cluster if there is none, and write its configuration. ConfigurationError when it cannot be used."""
    server.home.mkdir(parents=True, exist_ok=True)
    programs.require_entry(server.home, server.user)
    if server.data.exists():
        _require_same_major(server)
        await _until_the_last_one_is_gone(server)
    else:
        await _create(server)
    for address in (LOOPBACK, *server.gateways):
        addresses.require_free(server.name, address, server.port)
    _hand_over(server, server.data / "postgresql.conf", configuration(server))
    _hand_over(server, server.data / "pg_hba.conf", host_based_access(server))


def part(server: PostgresServer, log: Path) -> Part:
    """The server for the supervisor. Its stop signal drops every connection and writes all that is pending."""
    return Part(
        name=server.name,
        argv=(str(server.program.path), "-D", str(server.data)),
        env=_environment(),
        cwd=server.home,
        log=log,
        ready=lambda: answers(server),
        user=server.user,
        stop_signal=signal.SIGINT,
    )


async def answers(server: PostgresServer) -> bool:
    """Whether the admin can log in, and every other address is served too."""
    try:
        connection = await asyncpg.connect(server.url, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return False
    await connection.close()
    for address in server.gateways:
        if not await addresses.listens(address, server.port):
            return False
    return True


def configuration(server: PostgresServer) -> str:
    """The text of postgresql.conf. No Unix socket: its path may be too long, and nobody needs one."""
    settings = {
        "listen_addresses": ", ".join((LOOPBACK, *server.gateways)),
        "port": str(server.port),
        "unix_socket_directories": "",
        "max_connections": str(server.max_connections),
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        **server.settings,
    }
    lines = [f"{name} = '{value}'" for name, value in settings.items()]
    return "\n".join(["# Written by previewd at every start.", *lines, ""])


def host_based_access(server: PostgresServer) -> str:
    """The text of pg_hba.conf: from loopback everybody with a password; from elsewhere roles, each to its own database.

    `sameuser` is the database that is called as the role: rights on databases say the same, and would have to fail too.
    """
    lines = [f"host all all {LOOPBACK}/32 scram-sha-256"]
    if server.gateways:
        lines += [
            f"host all {server.admin} all reject",
            "host sameuser all all scram-sha-256",
        ]
    return "\n".join(["# Written by previewd at every start. The first line that matches counts.", *lines, ""])


async def _create(server: PostgresServer) -> None:
    """Build the cluster beside its place and move it there whole, so that a start cut short leaves none."""
    new = server.home / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    if server.user:
        shutil.chown(server.home, server.user)
    password_file = server.home / "admin-password"
    _hand_over(server, password_file, server.password + "\n")
    try:
        await _run(
            server, "initdb", "-D", str(new), "-U", server.admin, f"--pwfile={password_file}", "-E", "UTF8",
            "--auth=scram-sha-256", "--locale=C.UTF-8",
        )  # fmt: skip
    finally:
        password_file.unlink()
    await _run(server, "postgres", "--single", "-D", str(new), "postgres", stdin=_first_statements(server))
    new.replace(server.data)


def _first_statements(server: PostgresServer) -> str:
    """One statement a line. Everybody may connect to a database unless that is taken away from PUBLIC."""
    statements = [f"REVOKE ALL ON DATABASE {name} FROM PUBLIC" for name in ("postgres", "template1")]
    if server.database != "postgres":
        statements += [f"CREATE DATABASE {server.database}", f"REVOKE ALL ON DATABASE {server.database} FROM PUBLIC"]
    return "\n".join([*statements, ""])


async def _run(server: PostgresServer, program: str, *arguments: str, stdin: str = "") -> None:
    account = pwd.getpwnam(server.user) if server.user else None
    process = await asyncio.create_subprocess_exec(
        server.program.path.with_name(program), *arguments, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=_environment(), cwd=server.home,
        user=account and account.pw_uid, group=account and account.pw_gid, extra_groups=account and [],
    )  # fmt: skip
    output, _ = await process.communicate(stdin.encode())
    text = output.decode(errors="replace").strip()
    if process.returncode or "ERROR:" in text:
        raise OperatorError(f"{server.name}: {program} failed:\n{text}")


def _require_same_major(server: PostgresServer) -> None:
    theirs, ours = (server.data / "PG_VERSION").read_text("utf-8").strip(), server.program.version[0]
    if theirs != str(ours):
        raise ConfigurationError(
            f"{server.data} was made by Postgres {theirs}, and the one found here is {ours}",
            f"set PREVIEWD_POSTGRES_BIN to the directory of Postgres {theirs}'s programs, or dump and restore",
        )


async def _until_the_last_one_is_gone(server: PostgresServer) -> None:
    """A server that was killed holds its cluster until its parent has taken note, which process 1 may do late."""
    deadline = time.monotonic() + GONE_SECONDS
    while pid := _running(server):
        if time.monotonic() > deadline:
            raise OperatorError(f"another Postgres (process {pid}) runs in {server.data}", f"stop it: kill {pid}")
        await asyncio.sleep(POLL_SECONDS)


def _running(server: PostgresServer) -> str:
    """The id of the process that the cluster's lock names, if that is a Postgres; else empty."""
    try:
        pid = (server.data / "postmaster.pid").read_text("utf-8").split()[0]
        status = Path("/proc", pid, "stat").read_text("utf-8")
    except (OSError, IndexError):
        return ""
    return pid if "(postgres)" in status else ""


def _hand_over(server: PostgresServer, file: Path, text: str) -> None:
    write_private(file, text)
    if server.user:
        shutil.chown(file, server.user)


def _environment() -> dict[str, str]:
    """Libraries may be somewhere unusual when the programs are."""
    passed_on = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", **passed_on}
