"""docker-compose.yml and deploy/Dockerfile, started by the real Compose binary; servers from stand-in images."""

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from tests.bench.compose_peer import binary
from tests.support.engine import engine, engine_url, remove_images_of_project
from tests.support.images import BASE_IMAGE
from tests.support.installation import ROOT, free_port
from tests.support.stand_in_images import stand_in
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

DASHBOARD = "previewd.example.com"
WEBHOOK_SECRET = "a webhook secret"


class Stack:
    """The production stack under a project name of its own."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.project = f"t{secrets.token_hex(4)}"
        self.environment = os.environ | {"DOCKER_HOST": engine_url(), "DOCKER_BUILDKIT": "1"} | environment
        self.door = f"http://127.0.0.1:{environment['PREVIEWD_PORT']}"

    def compose(self, *arguments: str) -> str:
        command = [str(binary()), "--project-name", self.project, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        command = [str(binary()), "--project-name", self.project, "logs", "--tail", "30", "--no-color"]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        ).stdout[-8000:]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with ExitStack() as cleanup:
        images = {name: cleanup.enter_context(stand_in(name)) for name in ("postgres", "redis", "caddy")}
        data = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="previewd-"))
        image = f"previewd-test/previewd:{secrets.token_hex(4)}"
        stack = Stack(_environment(images, Path(data), image))
        try:
            stack.compose("up", "--detach", "--build", "--wait", "--wait-timeout", "240")
            yield stack
        finally:
            stack.compose("down", "--volumes", "--timeout", "5")
            remove_images_of_project(stack.project)


def _environment(images: dict[str, str], data: Path, image: str) -> dict[str, str]:
    with engine() as api:
        [pool] = api.inspect_network("bridge")["IPAM"]["Config"]
    return {
        "PREVIEWD_DOMAIN": "previews.example.net",
        "PREVIEWD_PUBLIC_URL": f"http://{DASHBOARD}",
        "PREVIEWD_DASHBOARD_HOST": DASHBOARD,
        "PREVIEWD_PORT": str(free_port()),
        "PREVIEWD_BIND": "127.0.0.1",
        "PREVIEWD_GITHUB_TOKEN": "unused",
        "PREVIEWD_GITHUB_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "PREVIEWD_SECRET_KEY": secrets.token_hex(16),
        "PREVIEWD_ADMIN_TOKEN": secrets.token_hex(16),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "PREVIEWS_POSTGRES_PASSWORD": secrets.token_hex(16),
        "REDIS_PASSWORD": secrets.token_hex(16),
        "PREVIEWD_GATEWAY": pool.get("Gateway") or str(ip_network(pool["Subnet"])[1]),
        "PREVIEWD_DATA_DIR": str(data),
        "DOCKER_SOCKET": engine_url().removeprefix("unix://"),
        "BASE_IMAGE": BASE_IMAGE,
        "PREVIEWD_IMAGE": image,
        "POSTGRES_IMAGE": images["postgres"],
        "PREVIEWS_POSTGRES_IMAGE": images["postgres"],
        "REDIS_IMAGE": images["redis"],
        "CADDY_IMAGE": images["caddy"],
    }


def test_every_part_is_well_behind_one_door(stack: Stack) -> None:
    states = [json.loads(line) for line in stack.compose("ps", "--all", "--format", "json").splitlines()]
    found = {state["Service"]: (state["State"], state["ExitCode"]) for state in states}
    assert found == {
        "postgres": ("running", 0),
        "previews-postgres": ("running", 0),
        "redis": ("running", 0),
        "migrate": ("exited", 0),
        "web": ("running", 0),
        "worker": ("running", 0),
        "caddy": ("running", 0),
    }

    async def is_ready() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{stack.door}/readyz", headers={"Host": DASHBOARD})).status_code == 200

    asyncio.run(eventually(is_ready, "a worker was seen, and all that it needs"))
    assert httpx.get(stack.door, headers={"Host": "pr-1-x.previews.example.net"}, trust_env=False).status_code == 404
    assert httpx.get(stack.door, headers={"Host": "elsewhere.example.org"}, trust_env=False).status_code == 404


def test_a_signed_delivery_is_taken(stack: Stack) -> None:
    body = b'{"zen": "Keep it logically awesome.", "hook_id": 1}'
    signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "Host": DASHBOARD,
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    answer = httpx.post(f"{stack.door}/webhooks/github", content=body, headers=headers, trust_env=False)
    assert answer.status_code == 202, answer.text


def test_the_worker_works_and_only_it_reaches_the_engine(stack: Stack) -> None:
    assert "GET /v" not in stack.compose("exec", "-T", "worker", "previewd", "ls")
    with engine() as api:
        wanted = {"label": [f"com.docker.compose.project={stack.project}"]}
        for container in api.containers(filters=wanted):
            mounted = {mount["Source"] for mount in container["Mounts"]}
            has_socket = any(source.endswith("docker.sock") for source in mounted)
            assert has_socket == (container["Labels"]["com.docker.compose.service"] == "worker")
