"""A whole previewd as a user has it: `previewd up` as a process of its own, beside a stand-in for GitHub.

Used by the tests that go from end to end, the demo and the benchmarks. Nothing in it is simulated but GitHub.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.forge import Deliverer, Forge
from tests.support.engine import remove_everything_of
from tests.support.wait import eventually

START_SECONDS = 60
END_SECONDS = 15
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fastapi-postgres"


class Installation:
    """One previewd. As a context manager it ends everything that it started, also when the test fails."""

    def __init__(self, forge: Forge, *, proxy_port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        self.forge = forge
        self.instance = f"t{secrets.token_hex(4)}"
        self.data_dir = Path(tempfile.mkdtemp(prefix="previewd-"))
        self.data_dir.chmod(0o755)  # the embedded Postgres runs as another user, who must be able to enter
        self.admin_token = secrets.token_urlsafe(12)
        self.web_port, self.router_port = free_port(), free_port()
        self.proxy_port = proxy_port or free_port()
        self.environment = self._environment(settings or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.courier = Deliverer(f"http://127.0.0.1:{self.web_port}/webhooks/github")
        self.api = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.web_port}/api/v1",
            headers={"Authorization": f"Bearer {self.admin_token}"},
            trust_env=False,
            timeout=10,
        )
        self.proxy = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.proxy_port}", trust_env=False, timeout=30)

    async def __aenter__(self) -> Self:
        self.start()
        try:
            await self.ready()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await asyncio.to_thread(self.stop)
        finally:
            for client in (self.courier, self.api, self.proxy):
                await (client.close() if isinstance(client, Deliverer) else client.aclose())
            await asyncio.to_thread(remove_everything_of, self.instance)
            shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def dashboard_url(self) -> str:
        return self.environment["PREVIEWD_PUBLIC_URL"]

    def start(self) -> None:
        """Run `previewd up`."""
        with (self.data_dir / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli", "up"],
                cwd=self.data_dir,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Return when every part says that it is ready."""
        async with httpx.AsyncClient(trust_env=False) as client:

            async def is_ready() -> bool:
                if self.process is None or self.process.poll() is not None:
                    raise AssertionError(f"previewd ended at once:\n{self.log('up')}")
                try:
                    answer = await client.get(f"http://127.0.0.1:{self.web_port}/readyz")
                except httpx.HTTPError:
                    return False
                return answer.is_success

            await eventually(is_ready, "previewd is ready", START_SECONDS)

    def stop(self) -> None:
        """End it as Ctrl-C does; raises when it does not end in time."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise
        self.process = None

    def log(self, part: str) -> str:
        """What a part of it has written: `web`, `worker`, `postgres` …, or `up` itself."""
        path = self.data_dir / "up.log" if part == "up" else self.data_dir / "log" / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def deliver(self) -> None:
        """Deliver whatever GitHub has to tell by now."""
        for answer in await self.courier.send_all(self.forge.take_deliveries()):
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    async def preview(self, number: int = 1) -> dict[str, Any] | None:
        """The preview of a pull request as the API shows it, also when it is removed."""
        answer = await self.api.get("/previews", params={"all": "true"})
        return next((found for found in answer.json() if found["number"] == number), None)

    async def deployments(self, preview: Mapping[str, Any]) -> list[dict[str, Any]]:
        return list((await self.api.get(f"/previews/{preview['id']}/deployments")).json())

    async def reaches(
        self, state: str, number: int = 1, commit: str | None = None, seconds: float = 180
    ) -> dict[str, Any]:
        """Wait until a preview is in this state, for this commit; fail at once when it fails instead."""

        async def reached() -> dict[str, Any] | None:
            found = await self.preview(number)
            if found is None or (commit and found["commit"] != commit):
                return None
            if found["state"] == "failed" != state:
                raise AssertionError(f"the preview failed: {found['reason']}\n{await self._last_words(found)}")
            return found if found["state"] == state else None

        return await eventually(reached, f"preview {number} is {state}", seconds)

    async def get(self, preview: Mapping[str, Any], path: str) -> httpx.Response:
        """GET from a preview, through the proxy, as a visitor does."""
        return await self.proxy.get(path, headers={"Host": preview["host"]})

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `previewd ARGUMENTS` as the operator does."""
        return subprocess.run(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            cwd=self.data_dir,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def _last_words(self, preview: Mapping[str, Any]) -> str:
        deployments = await self.deployments(preview)
        return "\n".join(deployments[0]["log_tail"]) if deployments else ""

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEWD_")}
        engine = os.environ.get("PREVIEWD_DOCKER_HOST")
        given = {
            "INSTANCE": self.instance,
            "DATA_DIR": str(self.data_dir),
            "WEB_LISTEN": f"127.0.0.1:{self.web_port}",
            "ROUTER_LISTEN": f"127.0.0.1:{self.router_port}",
            "PROXY_LISTEN": f"127.0.0.1:{self.proxy_port}",
            "PREVIEWS_PORT": str(self.proxy_port),
            "PUBLIC_URL": f"http://previewd.localhost:{self.proxy_port}",
            "ADMIN_TOKEN": self.admin_token,
            "BUILD_CACHE_BYTES": "0",  # the Engine is not ours alone
            "GITHUB_API_URL": self.forge.api_url,
            "GITHUB_TOKEN": self.forge.token,
            "GITHUB_WEBHOOK_SECRET": self.forge.secret,
            **({"DOCKER_HOST": engine} if engine else {}),
            **settings,
        }
        return inherited | {f"PREVIEWD_{name}": value for name, value in given.items()}


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
