"""Short ways to a Stack, for the tests in this folder."""

from collections.abc import Mapping

from orchestrator.compose.model import Service, Stack
from orchestrator.compose.read import read


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
