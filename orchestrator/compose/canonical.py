"""A project in the shape of `docker compose config --format json`, before any policy.

Pure; `previewd check --config` prints it, so that a user can hold our reading beside Compose's, and the tests hold
the two against each other. Services with an inactive profile, and what no service uses, are left out, as there.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.compose.project.consistency import check
from orchestrator.compose.project.paths import stays
from orchestrator.compose.project.project import Project
from orchestrator.compose.project.sources import VariableFiles
from orchestrator.compose.schema.shapes import Anything, Leaf, Listing, Record, Shape, Table, plain_value
from orchestrator.compose.schema.specification import HOSTS, JOB, MOUNT, SECTIONS, SERVICE, ULIMITS
from orchestrator.compose.services.environment import Environment
from orchestrator.compose.syntax import dotenv
from orchestrator.compose.syntax.casts import mapping, text
from orchestrator.compose.syntax.load import Node


def canonical(project: Project, files: Mapping[str, bytes], directory: str, name: str) -> dict[str, Any]:
    """The project as Compose prints it, in a checkout at `directory` (absolute) and under the project name `name`.

    Raises ComposeError where Compose refuses what the files say together.
    """
    check(project, project.active())
    printer = _Printer(project=project, files=files, directory=directory)
    return printer.project(name)


class _Printer:
    """One project on its way into plain values."""

    def __init__(self, project: Project, files: Mapping[str, bytes], directory: str) -> None:
        self._project = project
        self._files = files
        self._directory = directory
        self._variables = VariableFiles(files=project.repository, variables=project.variables)
        self._active = {name: mapping(node) for name, node in project.active().items()}

    def project(self, name: str) -> dict[str, Any]:
        root = mapping(self._project.root)
        found: dict[str, Any] = {"name": name}
        found["services"] = {service: self._service(keys) for service, keys in self._active.items()}
        for section in ("networks", "volumes", "secrets", "configs"):
            if declared := self._declared(section, name):
                found[section] = declared
        if jobs := self._project.section("jobs"):
            found["jobs"] = {job: self._job(mapping(node)) for job, node in jobs.items()}
        return found | {key: plain_value(child) for key, child in root.items() if key.startswith("x-")}

    def _service(self, keys: Mapping[str, Node]) -> dict[str, Any]:
        found = self._record(keys, SERVICE)
        _with_defaults(found, keys)
        found.pop("env_file", None)
        if "scale" in found and found.get("deploy") is not None:
            found["deploy"].setdefault("replicas", found["scale"])
        for watch in found.get("develop", {}).get("watch", ()):
            watch.setdefault("exec", {"command": None})
        for hook in found.get("pre_start", ()):
            _with_defaults(hook, hook)
        if "build" in found:
            found["build"] = self._build(found["build"])
        if environment := self._environment(keys):
            found["environment"] = environment
        if labels := self._labels(keys):
            found["labels"] = labels
        return found

    def _job(self, keys: Mapping[str, Node]) -> dict[str, Any]:
        found = self._record(keys, JOB)
        _with_defaults(found, keys)
        return found

    def _build(self, build: dict[str, Any]) -> dict[str, Any]:
        if "dockerfile" not in build and "dockerfile_inline" not in build:
            build["dockerfile"] = "Dockerfile"
        args = {name: self._argument(name, value) for name, value in build.pop("args", {}).items()}
        if known := {name: value for name, value in args.items() if value is not None}:
            build["args"] = known
        return build

    def _argument(self, name: str, value: str | None) -> str | None:
        return self._project.variables.get(name) if value is None else value

    def _environment(self, keys: Mapping[str, Node]) -> dict[str, str | None]:
        environment = Environment(files=self._variables)
        if "env_file" in keys:
            environment.read_files(keys["env_file"])
        if "environment" in keys:
            environment.read_values(keys["environment"])
        return {**dict.fromkeys(environment.unset), **environment.values}

    def _labels(self, keys: Mapping[str, Node]) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in _items(keys.get("label_file")):
            path = text(item)
            if path in self._files:
                found.update(dotenv.parse(self._files[path], path, {}).values)
        own = {name: text(child) for name, child in mapping(keys["labels"]).items()} if "labels" in keys else {}
        return found | own

    def _declared(self, section: str, project: str) -> dict[str, Any]:
        """The entries that a service uses, each with the name that it gets."""
        declared = self._project.section(section)
        shape = SECTIONS[section]
        used = sorted(self._used(section))
        if not isinstance(shape, Table) or not isinstance(shape.value, Record):
            return {}
        found: dict[str, Any] = {}
        for name in used:
            node = declared.get(name)
            keys = {} if node is None or node.value is None else mapping(node)
            entry = self._record(keys, shape.value)
            external = entry.get("external", False)
            entry.setdefault("name", name if external else f"{project}_{name}")
            if section == "networks":
                entry.setdefault("ipam", {})
            found[name] = entry
        return found

    def _used(self, section: str) -> Iterable[str]:
        for keys in self._active.values():
            match section:
                case "networks":
                    yield from self._joined(keys)
                case "volumes":
                    yield from _volumes(keys)
                case _:
                    yield from _granted(keys, section)

    @staticmethod
    def _joined(keys: Mapping[str, Node]) -> Iterable[str]:
        if "network_mode" in keys or "provider" in keys:
            return ()
        node = keys.get("networks")
        return mapping(node) if node is not None and node.value else ("default",)

    def _show(self, node: Node, shape: Shape) -> Any:
        """A plain value, as Go prints it."""
        if shape is HOSTS:
            return [f"{name}={text(item)}" for name, given in mapping(node).items() for item in _items(given)]
        if shape is ULIMITS:
            return {name: self._ulimit(child) for name, child in mapping(node).items()}
        if node.value is None:
            return None
        match shape:
            case Leaf():
                return self._leaf(node, shape)
            case Record():
                return self._mount(mapping(node)) if shape is MOUNT else self._record(mapping(node), shape)
            case Table():
                return {name: self._show(child, shape.value) for name, child in mapping(node).items()}
            case Listing():
                return [self._show(child, shape.item) for child in _items(node)]
            case Anything():
                return plain_value(node)

    def _leaf(self, node: Node, shape: Leaf) -> Any:
        if shape.is_path and isinstance(node.value, str):
            return self._path(node.value)
        return shape.show(node.value) if not isinstance(node.value, tuple | dict) else None

    def _record(self, keys: Mapping[str, Node], shape: Record) -> dict[str, Any]:
        """A record as Go prints it: without what is empty, unless Go tells empty from absent there."""
        found: dict[str, Any] = {}
        for key, node in keys.items():
            below = shape.fields.get(key)
            if below is None:
                continue
            shown = self._show(node, below)
            if shown not in (None, "", [], {}, False, 0) or _is_said(shown, below):
                found[shape.shown_as.get(key, key)] = shown
        return found

    def _mount(self, keys: Mapping[str, Node]) -> dict[str, Any]:
        found = self._record(keys, MOUNT)
        if found.get("type") == "bind" and "source" in found:
            found["source"] = self._path(found["source"])
        if found.get("bind", {}).get("create_host_path"):
            del found["bind"]["create_host_path"]
        return found

    @staticmethod
    def _ulimit(node: Node) -> object:
        found = mapping(node)
        if "single" in found:
            return found["single"].value or {}
        return {key: child.value for key, child in found.items()}

    def _path(self, written: str) -> str:
        """Absolute, as Compose prints it."""
        if written.startswith("~"):
            return posixpath.normpath(self._project.variables.get("HOME", "") + written[1:])
        if stays(written) or written.startswith("/"):
            return written
        return posixpath.normpath(posixpath.join(self._directory, written))


def _with_defaults(container: dict[str, Any], said: Mapping[str, object]) -> None:
    """What Compose prints of every container, whether the file says it or not."""
    container.setdefault("command", None)
    container.setdefault("entrypoint", None)
    if not container.get("networks") and not said.keys() & {"network_mode", "provider"}:
        container["networks"] = {"default": None}


def _is_said(shown: object, shape: Shape) -> bool:
    return shape.keep_empty and (shown is not None or isinstance(shape, Listing))


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.value if node is not None and isinstance(node.value, tuple) else ()


def _volumes(keys: Mapping[str, Node]) -> Iterator[str]:
    for item in _items(keys.get("volumes")):
        found = mapping(item)
        if found["type"].value == "volume" and "source" in found and found["source"].value:
            yield text(found["source"])


def _granted(keys: Mapping[str, Node], section: str) -> Iterator[str]:
    build = keys.get("build")
    listed = [keys.get(section), mapping(build).get("secrets") if build is not None and section == "secrets" else None]
    for node in listed:
        for item in _items(node):
            if "source" in mapping(item):
                yield text(mapping(item)["source"])
