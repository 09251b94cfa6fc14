"""The server's own client programs, run on a preview's database as the preview's own role, and never as anybody else.

A dump and a database are a stranger's work. As their own role they can do to themselves only what they could anyway;
what remains is the machine on which the programs run, and psql is told to obey no backslash command of a file.
"""

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from orchestrator.adapters.embedded.programs import find_client
from orchestrator.preview.errors import OperatorError
from orchestrator.runtime import fence

LOCK_SECONDS = 60
"""A dump waits so long for a migration that has locked a table."""

_TAIL_BYTES, _TAIL_LINES = 4096, 5
"""Of what a program complains: a stranger's function may complain without end."""

_WRITABLE = "-c default_transaction_read_only=off"
"""A database that has outgrown its limit is read-only for its role, and may be what a restore is to replace."""

_ARCHIVE_MAGIC = b"PGDMP"
_INHERITED = ("PATH", "HOME", "TERM", "LANG", "LC_ALL", "PAGER", "PSQL_PAGER", "EDITOR", "TZ")
_RESTRICTION = re.compile(rb"\\(?P<ends>un)?restrict (?P<word>[A-Za-z0-9]+)\r?\n?")
_EXTENSION_COMMENT = b"COMMENT ON EXTENSION "
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The programs for one database of a server of this major version."""

    host: str
    port: int
    database: str
    role: str
    password: str = field(repr=False)
    major: int

    async def psql(self, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment of a psql, to be run by whoever has the terminal."""
        program = await find_client("psql", self.major)
        return [str(program), "--no-psqlrc", "--no-password", *arguments], self._environment()

    async def dump(self, output: IO[bytes], *, plain: bool = False) -> None:
        """Write a dump: pg_dump's own format, or SQL. Raises OperatorError with the program's words."""
        program = await find_client("pg_dump", self.major)
        form = "plain" if plain else "custom"
        arguments = [f"--format={form}", "--no-owner", "--no-privileges", "--no-password"]
        await _run([program, *arguments, f"--lock-wait-timeout={LOCK_SECONDS}s"], self._environment(), output=output)

    async def restore(self, file: Path) -> None:
        """Fill the database, which is empty, from a dump of either format, wholly or not at all."""
        with file.open("rb") as source:
            is_archive = source.read(len(_ARCHIVE_MAGIC)) == _ARCHIVE_MAGIC
            source.seek(0)
            await (self._restore_archive(file) if is_archive else self._restore_script(source))

    async def _restore_archive(self, file: Path) -> None:
        program = await find_client("pg_restore", self.major)
        with tempfile.NamedTemporaryFile(prefix="previewd-", suffix=".list") as wanted:
            await _run([program, "--list", file], self._environment(), output=wanted)
            _leave_out_what_is_ours(Path(wanted.name))
            arguments = ["--single-transaction", "--no-owner", "--no-privileges", "--no-password", "--no-tablespaces"]
            named = [f"--use-list={wanted.name}", f"--dbname={self.database}"]
            await _run([program, *arguments, *named, file], self._environment(_WRITABLE))

    async def _restore_script(self, source: IO[bytes]) -> None:
        """Under a restriction with our own secret word, psql obeys no other backslash command.

        The restriction that pg_dump writes would be refused within ours, and is left out. An older psql refuses ours.
        """
        program = await find_client("psql", self.major)
        arguments = ["--no-psqlrc", "--no-password", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
        script = itertools.chain([f"\\restrict {secrets.token_hex(16)}\n".encode()], _fit_to_run(source))
        await _run([program, *arguments, "--file=-"], self._environment(_WRITABLE), script=script)

    def _environment(self, options: str = "") -> dict[str, str]:
        """Never on the command line, which everybody on the machine may read."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return {
            "PATH": os.defpath,
            **inherited,
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.role,
            "PGDATABASE": self.database,
            "PGPASSWORD": self.password,
            "PGPASSFILE": os.devnull,
            "PGSERVICEFILE": os.devnull,
            "PGCONNECT_TIMEOUT": "10",
            "PGAPPNAME": "previewd",
            "PGOPTIONS": options,
            "PSQLRC": os.devnull,
        }


def _fit_to_run(lines: Iterable[bytes]) -> Iterator[bytes]:
    """A script without the restriction that pg_dump puts around it, which ends with the word that it began with.

    Nor with comments on extensions, which are previewd's to make: they come before all data.
    """
    word: bytes | None = None
    is_before_data = True
    for line in lines:
        is_before_data = is_before_data and not line.startswith(b"COPY ")
        if is_before_data and line.startswith(_EXTENSION_COMMENT):
            continue
        found = _RESTRICTION.fullmatch(line)
        if found and word is None and not found["ends"]:
            word = found["word"]
        elif not (found and found["ends"] and found["word"] == word):
            yield line


def _leave_out_what_is_ours(contents: Path) -> None:
    """An extension that previewd installed has no comment that its tenant may set, and is there already."""
    lines = contents.read_text("utf-8", "replace").splitlines(keepends=True)
    contents.write_text("".join(line for line in lines if " COMMENT - EXTENSION " not in line))


async def _run(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    output: IO[bytes] | None = None,
    script: Iterable[bytes] = (),
) -> None:
    """Run a program to its end, and kill it when we are cancelled. Raises OperatorError when it fails."""
    fence.require()
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=output or asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, complaints = await asyncio.gather(_feed(process.stdin, script), _tail(process.stderr))
        if await process.wait():
            raise OperatorError(f"{Path(argv[0]).name} failed: {_words(complaints)}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _feed(stdin: asyncio.StreamWriter | None, script: Iterable[bytes]) -> None:
    if stdin is None:
        return
    with contextlib.suppress(ConnectionError):  # it has given up, and says why
        for line in script:
            stdin.write(line)
            await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _tail(stderr: asyncio.StreamReader | None) -> bytes:
    tail = b""
    while stderr and (read := await stderr.read(1 << 16)):
        tail = (tail + read)[-_TAIL_BYTES:]
    return tail


def _words(complaints: bytes) -> str:
    """Its last lines, without what a terminal would obey."""
    lines = complaints.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
    return "; ".join(_CONTROL.sub("", line).strip() for line in lines if line.strip()) or "it does not say why"
