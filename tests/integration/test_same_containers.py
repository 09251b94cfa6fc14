"""previewd starts what Docker Compose starts: each stack once by the real binary, once by us, and `inspect` is equal.

Equal means equal after `_Project.normalised`, whose text says what is left out and why.
"""

import asyncio
import hashlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import pytest_asyncio
from pydantic import SecretStr

from orchestrator.compose.engine.request import DROPPED_CAPABILITIES
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from tests.bench.compose_peer import binary
from tests.support.docker import unique
from tests.support.engine import engine, engine_url
from tests.support.images import BASE_IMAGE
from tests.support.launching import Launcher, launcher
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="module")]

AT_ONCE = 3
SLEEP = "sleep 300"

RICH_IMAGE = f"""
FROM {BASE_IMAGE}
ENV FROM_IMAGE=1
WORKDIR /srv
RUN mkdir /var/rich && echo rich > /var/rich/file
USER 1000
VOLUME /var/rich
EXPOSE 8000
STOPSIGNAL SIGINT
HEALTHCHECK --interval=2s --retries=5 CMD true
ENTRYPOINT ["sleep"]
CMD ["300"]
"""
"""An image that sets everything that a Compose file may leave to its image."""


@dataclass(frozen=True, slots=True)
class Case:
    """A stack. `IMAGE` and `RICH` in it stand for the two images."""

    compose: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[tuple[str, str], ...] = ()
    """Service and path of each secret and config: held against each other from inside of the container."""


def one(text: str, top: str = "", **how: Any) -> Case:
    """A stack of one service, `app`, that sleeps unless told otherwise."""
    command = "" if re.search(r"^(command|entrypoint|image|build):", text, re.MULTILINE) else f"command: {SLEEP}\n"
    image = "" if re.search(r"^image:", text, re.MULTILINE) else "image: IMAGE\n"
    body = "".join(f"    {line}\n" for line in (image + command + text).splitlines())
    return Case(f"services:\n  app:\n{body}{top}", **how)


def some(top: str = "", /, **services: str) -> Case:
    """A stack of several services, each given by the keys that it has beside image and command."""
    return Case(
        "services:\n"
        + "".join(
            f"  {name}:\n    image: IMAGE\n" + "".join(f"    {line}\n" for line in _with_command(text).splitlines())
            for name, text in services.items()
        )
        + top
    )


def _with_command(text: str) -> str:
    return text if text.startswith("command:") else f"command: {SLEEP}\n{text}"


HEALTHY = "healthcheck: {test: 'true', interval: 1s}"
CASES = {
    "a service": one(""),
    "two services": some(web="", worker=""),
    "a command in one line": one(
        "command: sh -c 'exec sleep \"$$SECONDS_TO_SLEEP\"'\nenvironment: {SECONDS_TO_SLEEP: 300}"
    ),
    "an entrypoint": one("entrypoint: [sh, -c]\ncommand: ['exec sleep 300']"),
    "an environment as a map": one("environment: {A: 1, B: 'x y', C: '', D: null, E: true}"),
    "an environment as a list": one("environment: [A=1, 'B=x=y', C=]"),
    "an env_file": one("env_file: [a.env]\nenvironment: {B: 2}", files={"a.env": b"A=1\nB=1\n# no\nC='x y'\n"}),
    "variables": one("environment: {A: '${WHO:-nobody}', B: '${MISSING:-x}', C: '$$WHO'}", variables={"WHO": "ada"}),
    "a user in a directory": one("user: '1000:1000'\nworking_dir: /tmp"),
    "a hostname": one("hostname: somewhere"),
    "init, a signal and a grace": one("init: true\nstop_signal: SIGINT\nstop_grace_period: 3s"),
    "a terminal": one("tty: true\nstdin_open: true"),
    "read-only": one("read_only: true\nshm_size: 32m\ntmpfs: /run"),
    "tmpfs with options": one("tmpfs: ['/run:size=1m,mode=1777', /var/tmp]"),
    "a mounted tmpfs": one("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1048576}}]"),
    "dropped capabilities": one("cap_drop: [NET_ADMIN, CHOWN]"),
    "no new privileges": one("security_opt: ['no-new-privileges:true']"),
    "ulimits": one("ulimits: {nproc: 64, nofile: {soft: 100, hard: 200}}"),
    "limits": one("mem_limit: 64m\ncpus: 0.5\npids_limit: 50"),
    "limits of a deployment": one("deploy: {resources: {limits: {memory: 64m, cpus: '0.5', pids: 50}}}"),
    "ports and expose": one("ports: ['8000', '127.0.0.1::9000/udp']\nexpose: [7000]"),
    "labels": one("labels: {a.b: c}\nannotations: {x: y}"),
    "a restart policy": one("restart: unless-stopped"),
    "logging": one("logging: {driver: json-file, options: {max-size: 1m}}"),
    "what the image says": one("image: RICH"),
    "another test than the image's": one("image: RICH\nhealthcheck: {test: [CMD, 'true'], interval: 1s, timeout: 2s}"),
    "other times than the image's": one("image: RICH\nhealthcheck: {interval: 1s, start_period: 1s}"),
    "the image's test disabled": one("image: RICH\nhealthcheck: {disable: true}"),
    "other than the image says": one("image: RICH\ncommand: ['200']\nuser: root\nvolumes: ['/var/rich', '/srv']"),
    "a named volume": one("volumes: ['data:/data', 'data:/again:ro']", "volumes: {data: }\n"),
    "a volume shared": some("volumes: {data: }\n", web="volumes: ['data:/data']", worker="volumes: ['data:/in:ro']"),
    "a volume in the long form": one(
        "volumes: [{type: volume, source: data, target: /data, read_only: true, volume: {nocopy: true}}]",
        "volumes: {data: {labels: {x: y}}}\n",
    ),
    "an anonymous volume": one("volumes: [/data]"),
    "a folder and a file": one(
        "volumes: ['./conf:/conf:ro', './conf/a.txt:/a.txt']", files={"conf/a.txt": b"a", "conf/b/c.txt": b"c"}
    ),
    "a folder in the long form": one(
        "volumes: [{type: bind, source: ./conf, target: /conf, read_only: true}]", files={"conf/a.txt": b"a"}
    ),
    "wait until healthy": some(web="depends_on: {db: {condition: service_healthy}}", db=HEALTHY),
    "wait until done": some(
        web="depends_on: {migrate: {condition: service_completed_successfully}}", migrate="command: 'true'"
    ),
    "a chain": some(a="depends_on: [b]", b="depends_on: {c: {condition: service_healthy, restart: true}}", c=HEALTHY),
    "a dependency that may be missing": some(
        web="depends_on: {debug: {condition: service_started, required: false}}", debug="profiles: [debug]"
    ),
    "a profile": some(web="", debug="profiles: [debug]"),
    "two networks": some(
        "networks: {front: , back: }\n",
        web="networks: [front, back]",
        db="networks: {back: {aliases: [database, store]}}",
    ),
    "an internal network": some(
        "networks: {back: {internal: true}}\n", web="networks: [default, back]", db="networks: [back]"
    ),
    "no network": one("network_mode: none"),
    "another's network": some(web="", side="network_mode: service:web"),
    "links": some(web="links: [db, 'db:database']", db=""),
    "another's unnamed volumes": Case(
        "services:\n"
        "  web: {image: RICH, entrypoint: [sleep, '300'], volumes: [/more]}\n"
        "  backup: {image: RICH, entrypoint: [sleep, '300'], volumes_from: [web]}\n"
        "  other: {image: RICH, entrypoint: [sleep, '300'], tmpfs: /var/rich}\n",
        reads=(("web", "/var/rich/file"), ("backup", "/var/rich/file")),
    ),
    "another's volumes": some("volumes: {data: }\n", web="volumes: ['data:/data']", backup="volumes_from: [web]"),
    "three of a kind": some(web="deploy: {replicas: 3}", proxy="depends_on: [web]"),
    "scaled": one("scale: 2"),
    "a secret from a file": one(
        "secrets: [token]",
        "secrets: {token: {file: ./token.txt}}\n",
        files={"token.txt": b"from a file\n"},
        reads=(("app", "/run/secrets/token"),),
    ),
    "a secret from a variable": one(
        "secrets: [{source: token, target: other, mode: 0400}]",
        "secrets: {token: {environment: TOKEN}}\n",
        variables={"TOKEN": "from a variable"},
        reads=(("app", "/run/secrets/other"),),
    ),
    "configs": one(
        "configs: [plain, {source: rich, target: /etc/rich.conf}]",
        "configs: {plain: {content: 'who=${WHO}'}, rich: {file: ./rich.conf}}\n",
        files={"rich.conf": b"rich"},
        variables={"WHO": "ada"},
        reads=(("app", "/plain"), ("app", "/etc/rich.conf")),
    ),
    "anchors": Case(
        "x-base: &base {image: IMAGE, command: sleep 300, environment: &env {A: 1}}\n"
        "services:\n  web: {<<: *base}\n  worker: {<<: *base, environment: {<<: *env, B: 2}}\n"
    ),
    "extends": some(base="environment: {A: 1, B: 1}\nuser: '1000'", web="extends: base\nenvironment: {B: 2}"),
}


@dataclass(slots=True)
class _Peer:
    """The Compose binary in a folder with the stack's files."""

    case: Case
    images: Mapping[str, str]
    folder: Path
    project: str

    def up(self) -> None:
        for path, content in {**self.case.files, "compose.yaml": _compose(self.case, self.images).encode()}.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        self._run("up", "--detach", "--pull", "never")

    def down(self) -> None:
        self._run("down", "--volumes", "--timeout", "0", "--remove-orphans")

    def _run(self, *arguments: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in ("WHO", "MISSING", "TOKEN")}
        environment = inherited | {"DOCKER_HOST": engine_url(), **self.case.variables}
        done = subprocess.run(
            [str(binary()), "--project-name", self.project, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


class _Project:
    """What the Engine has of one Compose project."""

    def __init__(self, api: docker.APIClient, project: str, case: Case) -> None:
        wanted = {"label": [f"com.docker.compose.project={project}"]}
        self._api = api
        self._case = case
        self._containers = [api.inspect_container(found["Id"]) for found in api.containers(all=True, filters=wanted)]
        self._networks = [api.inspect_network(found["Id"]) for found in api.networks(filters=wanted)]
        self._volumes = [api.inspect_volume(found["Name"]) for found in api.volumes(filters=wanted)["Volumes"] or ()]
        self._names = {
            **{found["Name"]: f"network {found['Labels'][_COMPOSE + 'network']}" for found in self._networks},
            **{found["Name"]: f"volume {found['Labels'][_COMPOSE + 'volume']}" for found in self._volumes},
            **{found["Id"]: _replica(found) for found in self._containers},
            **{found["Name"][1:]: _replica(found) for found in self._containers},
        }

    def states(self) -> dict[str, tuple[bool, int]]:
        return {_replica(found): (found["State"]["Running"], found["State"]["ExitCode"]) for found in self._containers}

    def normalised(self) -> dict[str, Any]:
        """What must be equal. Left out, or written in a common form:

        - names and ids of containers, networks and volumes become what the Compose file calls them, and a volume
          without a name the containers that share it; addresses, times, process ids, paths of the Engine's own files,
          and what is derived from these;
        - labels, less those of Compose's own that say what a container is: the file's are stripped, ours are ours;
        - what the policy owns (`_OWNED`): restarts, logging, published ports, and no-new-privileges;
          of dropped capabilities and limits what is ours: the file's own lower limit and further drops stay;
        - `Binds` and `Mounts` are two ways to ask for the same: the mounts that came of them are compared. What is
          bound lies elsewhere on the host, so its content is compared. For a volume that the image asks for, Compose
          leaves it to the Engine to make one, and we ask for it, so that it carries our labels;
        - Compose copies secrets and configs that are no files into the container: theirs are read from inside;
        - `Attach*`: whether the client that made it meant to watch; `Image`: the id that the name led to;
        - Compose links a name of ours to each replica under two more names that are its own;
        - spellings: `CAP_CHOWN` and `CHOWN`, `size=1m` and `size=1048576` (ours, because it is capped).
        """
        return {
            "containers": {_replica(found): self._container(found) for found in self._containers},
            "networks": {self._names[found["Name"]]: _picked(found, _NETWORK) for found in self._networks},
            "volumes": {self._names[found["Name"]]: _picked(found, _VOLUME) for found in self._volumes},
            "files": {f"{service}:{path}": self._read(service, path) for service, path in self._case.reads},
        }

    def _container(self, found: Mapping[str, Any]) -> dict[str, Any]:
        networks = found["NetworkSettings"]["Networks"].items()
        return {
            "image": found["Image"],
            "command": [found["Path"], *found["Args"]],
            "config": self._config(found),
            "host": self._host(found["HostConfig"]),
            "mounts": sorted(self._mounts(found), key=lambda mount: str(mount["Destination"])),
            "networks": {self._names.get(name, name): self._endpoint(found, endpoint) for name, endpoint in networks},
            "labels": _labels(found["Config"]["Labels"]),
            "state": self.states()[_replica(found)],
        }

    def _config(self, found: Mapping[str, Any]) -> dict[str, Any]:
        config = {key: value for key, value in found["Config"].items() if value and key not in _CONFIG_LEFT_OUT}
        config["Env"] = sorted(config.get("Env", ()))
        config["ExposedPorts"] = {port if "/" in port else f"{port}/tcp" for port in config.get("ExposedPorts", ())}
        if any(id_.startswith(config.get("Hostname", "-")) for id_ in self._names):
            config["Hostname"] = "its own id"
        return config

    def _host(self, host: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in host.items() if value and key not in _OWNED}
        for key, ours in _OUR_LIMITS.items():
            if kept.get(key) == ours:
                del kept[key]
        dropped = {capability.removeprefix("CAP_") for capability in kept.get("CapDrop", ())}
        kept["CapDrop"] = sorted(dropped - set(DROPPED_CAPABILITIES))
        kept["Tmpfs"] = {target: _in_bytes(options) for target, options in kept.get("Tmpfs", {}).items()}
        kept["NetworkMode"] = ":".join(self._names.get(part, part) for part in host["NetworkMode"].split(":"))
        sources = (source.partition(":") for source in host["VolumesFrom"] or ())
        kept["VolumesFrom"] = [self._names.get(name, name) + colon + mode for name, colon, mode in sources]
        kept["Ulimits"] = sorted(kept.get("Ulimits", ()), key=lambda limit: str(limit["Name"]))
        return kept

    def _mounts(self, found: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        service = found["Config"]["Labels"][_COMPOSE + "service"]
        for mount in found["Mounts"]:
            if (service, mount["Destination"]) in self._case.reads:
                continue
            plain = {key: mount.get(key) for key in ("Type", "Destination", "RW", "Driver")}
            if mount["Type"] == "bind":
                plain["content"] = _content(Path(mount["Source"]))
            if mount["Type"] == "volume":
                plain["volume"] = self._names.get(mount["Name"]) or f"of {self._sharing(mount['Name'])}"
            yield plain

    def _sharing(self, volume: str) -> list[str]:
        """The containers that mount a volume which has no name."""
        mounted = ((found, mount.get("Name")) for found in self._containers for mount in found["Mounts"])
        return sorted(_replica(found) for found, name in mounted if name == volume)

    def _endpoint(self, found: Mapping[str, Any], endpoint: Mapping[str, Any]) -> dict[str, Any]:
        own = {found["Name"][1:], found["Id"][:12]}
        links = (link.partition(":")[::2] for link in endpoint["Links"] or ())
        return {
            "aliases": sorted(set(endpoint["Aliases"] or ()) - own),
            "links": sorted({(self._names[to], alias) for to, alias in links if not re.search(r"-\d+$", alias)}),
            "address": bool(endpoint["IPAddress"]),
        }

    def _read(self, service: str, path: str) -> str:
        container = next(found for found in self._containers if _replica(found) == f"{service} 1")
        made = self._api.exec_create(container["Id"], ["cat", path], user="root")
        return str(self._api.exec_start(made["Id"]).decode())


_COMPOSE = "com.docker.compose."
_OWNED = frozenset({"RestartPolicy", "LogConfig", "PortBindings", "SecurityOpt", "MemorySwap", "Binds", "Mounts"})
_OUR_LIMITS = {"Memory": 1 << 30, "NanoCpus": 2_000_000_000, "PidsLimit": 512}
_CONFIG_LEFT_OUT = frozenset({"Labels", "AttachStdout", "AttachStderr", "AttachStdin", "StdinOnce", "Image"})
_NETWORK = ("Driver", "Internal", "Attachable", "Ingress", "EnableIPv6", "Options", "Scope", "ConfigOnly")
_VOLUME = ("Driver", "Options", "Scope")


def _replica(found: Mapping[str, Any]) -> str:
    labels = found["Config"]["Labels"]
    return f"{labels[_COMPOSE + 'service']} {labels[_COMPOSE + 'container-number']}"


def _labels(labels: Mapping[str, str]) -> dict[str, object]:
    kept = {key: labels.get(_COMPOSE + key) for key in ("service", "container-number", "oneoff")}
    return {**kept, "depends_on": sorted(filter(None, labels[_COMPOSE + "depends_on"].split(",")))}


def _in_bytes(options: str) -> str:
    return re.sub(r"(?<=size=)(\d+)m", lambda match: str(int(match[1]) << 20), options)


def _picked(found: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: found[key] for key in keys if found.get(key)}


def _content(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _compose(case: Case, images: Mapping[str, str]) -> str:
    return re.sub("IMAGE|RICH", lambda match: images[match[0]], case.compose)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def compared(module_database_url: str) -> AsyncIterator[Callable[[str], Any]]:
    """Starts every stack, a few at once, and answers what both sides made of one."""
    database = connect(asyncpg_url(SecretStr(module_database_url)), pool_size=10)
    slots, begun = asyncio.Semaphore(AT_ONCE), set[asyncio.Task[Any] | None]()
    with _rich_image() as rich:
        images = {"IMAGE": BASE_IMAGE, "RICH": rich}
        async with launcher(database) as started:
            tasks = {
                name: asyncio.create_task(_both(started, slots, begun, case, images), name=name)
                for name, case in CASES.items()
            }
            try:
                yield lambda name: tasks[name]
            finally:
                # Those under way end by themselves, so that none is cut off between its `up` and its `down`.
                for task in [task for task in tasks.values() if task not in begun]:
                    task.cancel()
                await asyncio.gather(*tasks.values(), return_exceptions=True)
    await database.dispose()


class _rich_image:  # noqa: N801 - used as a function
    """The image, and its end."""

    def __enter__(self) -> str:
        self._tag = f"{unique('previewd-test-rich')}:1"
        with tempfile.TemporaryDirectory() as folder, engine() as api:
            (Path(folder) / "Dockerfile").write_text(RICH_IMAGE)
            output = [*api.build(path=folder, tag=self._tag, decode=True, rm=True)]
            assert not [line for line in output if "error" in line], output
        return self._tag

    def __exit__(self, *_: object) -> None:
        with engine() as api:
            api.remove_image(self._tag, force=True)


async def _both(
    started: Launcher,
    slots: asyncio.Semaphore,
    begun: set[asyncio.Task[Any] | None],
    case: Case,
    images: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ours, and Compose's."""
    async with slots:
        begun.add(asyncio.current_task())
        return await _ours(started, case, images), await _theirs(case, images)


async def _ours(started: Launcher, case: Case, images: Mapping[str, str]) -> dict[str, Any]:
    preview = await started.open()
    try:
        await preview.up(_compose(case, images), files=case.files, **case.variables)
        return await _settled(preview.names.project, case)
    finally:
        await preview.down()


async def _theirs(case: Case, images: Mapping[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="previewd-peer-") as folder:
        peer = _Peer(case, images, Path(folder), unique("previewdpeer"))
        try:
            await asyncio.to_thread(peer.up)
            return await _settled(peer.project, case)
        finally:
            await asyncio.to_thread(peer.down)


async def _settled(project: str, case: Case) -> dict[str, Any]:
    """The project once everything that ends has ended."""
    ends = set(re.findall(r"^  (\w+):\n    image: \w+\n    command: 'true'", case.compose, re.MULTILINE))

    def look() -> dict[str, Any] | None:
        with engine() as api:
            found = _Project(api, project, case)
            running = {name.partition(" ")[0] for name, (runs, _) in found.states().items() if runs}
            return None if running & ends else found.normalised()

    return await eventually(lambda: asyncio.to_thread(look), f"{project} is settled")


@pytest.mark.parametrize("name", CASES)
async def test_the_same_containers(name: str, compared: Callable[[str], Any]) -> None:
    ours, theirs = await compared(name)
    assert ours["containers"], "something was started"
    assert json.dumps(ours, indent=1, default=sorted, sort_keys=True) == json.dumps(
        theirs, indent=1, default=sorted, sort_keys=True
    )
