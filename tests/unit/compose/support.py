"""Short ways to a Stack, for the tests in this folder."""

from collections.abc import Mapping

from orchestrator.compose.model import Service, Stack
from orchestrator.compose.services.stack import read


def stack_of(text: str, variables: Mapping[str, str] | None = None, **files: str) -> Stack:
    """The stack of `compose.yaml`, in a repository that also holds `files` (`__` in a name is a dot)."""
    others = {name.replace("__", "."): content.encode() for name, content in files.items()}
    return read({"compose.yaml": text.encode(), **others}, "compose.yaml", variables or {})


def service_of(body: str, variables: Mapping[str, str] | None = None, **files: str) -> Service:
    """The service `a` whose keys are the lines of `body`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    first = "" if "image:" in body or "build:" in body else "    image: x\n"
    text = f"services:\n  a:\n{first}{lines}  b:\n    image: y\nvolumes:\n  data:\nnetworks:\n  other:\n"
    return stack_of(text, variables, **files).services["a"]


VALUES = {
    "attach": "true",
    "blkio_config": "{weight: 10}",
    "build": ".",
    "cgroup": "host",
    "credential_spec": "{config: c}",
    "deploy": "{mode: global}",
    "develop": "{watch: [{path: ., action: rebuild}]}",
    "gpus": "all",
    "logging": "{driver: local}",
    "models": "[m]",
    "oom_kill_disable": "true",
    "pre_start": "[{command: x}]",
    "privileged": "true",
    "provider": "{type: x}",
    "storage_opt": "{size: 1g}",
    "use_api_socket": "true",
    **dict.fromkeys(("annotations", "labels", "sysctls"), "{a: b}"),
    **dict.fromkeys(
        ("cap_add", "device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "external_links"), "[x]"
    ),
    **dict.fromkeys(("group_add", "label_file"), "[x]"),
    **dict.fromkeys(("cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime"), "5"),
    **dict.fromkeys(("cpu_shares", "mem_reservation", "mem_swappiness", "memswap_limit", "oom_score_adj"), "5"),
}
"""A value of the right form for keys that take no plain string."""


def value_of(key: str) -> str:
    """A value that asks for something, in the form that the language wants."""
    return VALUES.get(key, "anything")
