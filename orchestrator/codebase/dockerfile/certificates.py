"""The company's certificates and proxy for a build, for the time of its RUN steps and not in the image. Pure.

Tried on Engine 20.10 with its own frontend: a secret's mount needs no file at its target and leaves none behind, but
an empty folder where the target's was missing. `mode=0444` is what lets a step under `USER app` read it. While the
system's bundle is mounted over, `update-ca-certificates` fails, hence every package manager that installs or updates
`ca-certificates`: their steps go without that one mount, and their downloads through a TLS-breaking proxy only work
with mirrors on plain HTTP, Debian's default. Names and values of the proxy arguments are in neither the image's
configuration nor its history, because BuildKit predefines them; old frontends do not know `ALL_PROXY` and warn.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.codebase.dockerfile.parser import Instruction
from orchestrator.codebase.dockerfile.rewrite import rewrite

CA_SECRET = "previewd-ca-bundle"  # noqa: S105 -- a secret's id
PIP_SECRET = "previewd-pip-configuration"  # noqa: S105
CA_BUNDLE = "/run/secrets/previewd-ca-bundle"
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt",)
"""Where Debian, Ubuntu, Alpine and Arch have theirs; their other places are links to it."""
PIP_CONFIGURATION = "/etc/xdg/pip/pip.conf"
"""The first file that pip reads: one that the image has adds to it, and wins."""

PROXY_ARGS = tuple(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)
"""Build arguments that need no ARG line and leave no trace."""

_REPLACES_BUNDLE = re.compile(
    r"\b(?:apt|apt-get|aptitude|apk|dnf|microdnf|yum|zypper|pacman|ca-certificates(?!\.crt)|update-ca-trust)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A Dockerfile whose RUN steps see the company's certificates."""

    text: str
    secrets: Mapping[str, bytes] = field(repr=False)


def certified(text: str, bundle: bytes, file: str = "Dockerfile") -> Certified:
    """Mount `bundle`, the system's certificates and the company's in PEM, for every RUN step.

    Raises BuildError for a Dockerfile that cannot be read.
    """
    pip = f"[global]\ncert = {CA_BUNDLE}\n".encode()
    return Certified(
        text=rewrite(text, mounts=_mounts, file=file),
        secrets={CA_SECRET: bundle, PIP_SECRET: pip},
    )


def proxy_args(proxies: Mapping[str, str]) -> dict[str, str]:
    """The build arguments of these proxy variables, in upper and lower case: programs differ in which they read."""
    given = {name.upper(): value for name, value in proxies.items() if value}
    return {name: given[name.upper()] for name in PROXY_ARGS if name.upper() in given}


def _mounts(instruction: Instruction) -> Sequence[str]:
    targets = [(CA_SECRET, CA_BUNDLE), (PIP_SECRET, PIP_CONFIGURATION)]
    if not _REPLACES_BUNDLE.search(instruction.text):
        targets += [(CA_SECRET, target) for target in SYSTEM_BUNDLES]
    taken = {flag.options.get("target") for flag in instruction.flags if flag.name == "mount"}
    return [f"type=secret,id={name},target={target},mode=0444" for name, target in targets if target not in taken]
