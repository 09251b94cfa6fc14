"""`previewd up` as a process of its own, with real servers and stand-ins for our own processes."""

import asyncio
import json
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.adapters.embedded.addresses import free_port, listens
from tests.support.wait import eventually

UP = """
import asyncio, json, os, sys
from pathlib import Path
from orchestrator.adapters.caddy import Ingress
from orchestrator.cli.up import Plan, up
from orchestrator.preview.errors import PreviewdError

home, ports, web = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
plan = Plan(
    data_dir=home, gateway="127.0.0.2", database_port=ports["postgres"],
    previews_database_port=ports["previews"], redis_port=ports["redis"],
    ingress=Ingress(
        domain="previews.test", dashboard_host="previewd.test", web=f"127.0.0.1:{ports['web']}",
        router="127.0.0.1:9", port=str(ports["caddy"]), bind=("127.0.0.1",), preview_subnets=("10.213.0.0/16",),
    ),
    environment=os.environ | {"PREVIEWD_DOCKER_HOST": "unix:///nowhere", "OTHER": "x"},
    web=(sys.executable, "-c", web, str(ports["web"])),
    worker=(sys.executable, "-c", "import os, time; print(sorted(os.environ), flush=True); time.sleep(999)"),
    migrate=(sys.executable, "-c", "import os; print('migrates', 'PREVIEWD_DATABASE_URL' in os.environ)"),
)
try:
    asyncio.run(up(plan, lambda line: print(line, flush=True), lambda: print("all is up", flush=True)))
except PreviewdError as error:
    print(error, flush=True)
    sys.exit(1)
"""
WEB = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print(sorted(os.environ), flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
NAMES = ("postgres", "previews", "redis", "web", "caddy")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not one of pytest's: those are closed to other accounts, and Postgres runs as one when we are root."""
    with tempfile.TemporaryDirectory(prefix="previewd-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@asynccontextmanager
async def running(data_dir: Path, ports: dict[str, int]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UP, str(data_dir), json.dumps(ports), WEB, stdout=PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines_until(process: Process, last: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not lines or lines[-1] != last:
            line = await process.stdout.readline()
            assert line, lines
            lines.append(line.decode().rstrip())
    return lines


def own_processes(data_dir: Path) -> list[str]:
    """Those whose working directory or command line is in DATA_DIR."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where, command = (process / "cwd").readlink(), (process / "cmdline").read_text()
        except (OSError, ProcessLookupError):
            continue
        if command and (where.is_relative_to(data_dir) or str(data_dir) in command):
            found.append(command.replace("\0", " "))
    return found


async def nothing_left(data_dir: Path, ports: dict[str, int]) -> bool:
    return not own_processes(data_dir) and not any([await listens("127.0.0.1", port) for port in ports.values()])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_it_comes_up_and_ends_as_a_whole(data_dir: Path, ending: signal.Signals) -> None:
    ports = {name: free_port("127.0.0.1") for name in NAMES}
    async with running(data_dir, ports) as process:
        said = await lines_until(process, "all is up")
        assert [line.split()[0] for line in said[:-1]] == [
            "postgres", "previews-postgres", "redis", "web", "worker", "caddy",
        ]  # fmt: skip
        assert (data_dir / "log" / "migrate.log").read_text() == "migrates True\n"
        web, worker = ((data_dir / "log" / f"{name}.log").read_text() for name in ("web", "worker"))
        for secret in ("PREVIEWD_PREVIEWS_DATABASE_URL", "PREVIEWD_DOCKER_HOST"):
            assert secret in worker
            assert secret not in web
        assert "OTHER" not in worker
        async with running(data_dir, ports) as second:
            (refusal,) = await lines_until(second, f"previewd already runs in {data_dir} (process {process.pid})")
            assert refusal
        process.send_signal(ending)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    assert await nothing_left(data_dir, ports)


async def test_killed_outright_it_leaves_nothing_and_starts_again(data_dir: Path) -> None:
    ports = {name: free_port("127.0.0.1") for name in NAMES}
    async with running(data_dir, ports) as process:
        await lines_until(process, "all is up")
        process.kill()
        await process.wait()
    await eventually(lambda: nothing_left(data_dir, ports), "nothing runs any more")
    secrets = (data_dir / "secrets.json").read_text()
    async with running(data_dir, ports) as process:
        await lines_until(process, "all is up")
        process.send_signal(signal.SIGTERM)
        await process.wait()
    assert (data_dir / "secrets.json").read_text() == secrets
