"""The Engine's JSON as values. Pure."""

import posixpath
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.ports.engine import ContainerStatus, EngineObject, HealthTimes, Image

NEVER = "0001-01-01T00:00:00Z"
NANOSECONDS = 1_000_000_000


def image(found: dict[str, Any]) -> Image:
    config = found["Config"] or {}
    ports = (port.split("/") for port in config.get("ExposedPorts") or {})
    check = config.get("Healthcheck") or {}
    test = tuple(check.get("Test") or ())
    return Image(
        id=found["Id"],
        exposed_ports=tuple(sorted(int(number) for number, *protocol in ports if protocol in ([], ["tcp"]))),
        healthcheck=test if test and test != ("NONE",) else None,
        health_times=_health_times(check),
        on_build=tuple(config.get("OnBuild") or ()),
        volumes=tuple(sorted({posixpath.normpath(path) for path in config.get("Volumes") or ()})),
    )


def _health_times(check: Mapping[str, Any]) -> HealthTimes:
    """Of an image's HEALTHCHECK; 0 and what is not there are the Engine's defaults."""
    seconds = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    times = {name: check[key] / NANOSECONDS for name, key in seconds.items() if check.get(key)}
    return HealthTimes(**times, retries=check.get("Retries") or HealthTimes().retries)


def status(found: dict[str, Any]) -> ContainerStatus:
    state = found["State"]
    running = state["Running"] and not state["Restarting"]
    started = state["StartedAt"] != NEVER
    networks = found["NetworkSettings"]["Networks"] or {}
    return ContainerStatus(
        id=found["Id"],
        name=found["Name"].removeprefix("/"),
        labels=found["Config"]["Labels"] or {},
        image=found["Image"],
        running=running,
        exit_code=state["ExitCode"] if started and not running else None,
        started=started,
        restarting=state["Restarting"],
        oom_killed=state["OOMKilled"],
        addresses={name: network["IPAddress"] for name, network in networks.items() if network["IPAddress"]},
        networks=frozenset(networks),
        volumes=frozenset(
            mount["Name"] if mount["Type"] == "volume" else mount["Source"]
            for mount in found["Mounts"]
            if mount["Type"] in {"volume", "bind"} and mount["RW"]
        ),
        binds=frozenset(mount["Source"] for mount in found["Mounts"] if mount["Type"] == "bind"),
        created_at=datetime.fromisoformat(found["Created"]),
        started_at=datetime.fromisoformat(state["StartedAt"]) if started else None,
        finished_at=None if state["FinishedAt"] == NEVER else datetime.fromisoformat(state["FinishedAt"]),
    )


def engine_object(kind: str, found: Mapping[str, Any], id_: str, name: str) -> EngineObject:
    return EngineObject(kind=kind, id=id_, name=name, labels=found["Labels"] or {})


def image_names(found: Mapping[str, Any]) -> list[str]:
    """One that was pulled by its digest has a name too, though no tag: it is not ours, whatever labels it carries."""
    every = (*(found["RepoTags"] or ()), *(found.get("RepoDigests") or ()))
    tags = [name for name in found["RepoTags"] or () if name != "<none>:<none>"]
    return tags or [name for name in every if not name.startswith("<none>")] or [found["Id"]]


def tagged(reference: str) -> str:
    """The Engine pulls every tag of a name that has none."""
    plain = reference.rpartition("/")[2]
    return reference if ":" in plain or "@" in plain else f"{reference}:latest"
