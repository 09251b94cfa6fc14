"""The image that the example's Dockerfile starts from: used, pulled, or made here from Debian's packages.

Used by deploy/machine.py. What is made here has what this machine has to reach the network with: its certificates and
pip's network settings, so that a build inside it goes the same ways.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from bootstrap import ROOT, apt_install, fail, pip_settings, run, say
from docker import APIClient, DockerClient
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

NAME, TAG = "python", "3.11-slim"
REFERENCE = f"{NAME}:{TAG}"
LABEL = "dev.previewd.base"
CACHE = ROOT / ".cache" / "base"
PULL_ANSWER_SECONDS = 8
IMPORT_SECONDS = 300

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
RECIPE = 1
"""To be raised when what is made below changes: the cached trees of before are then made again."""
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PIP_NETWORK_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy")
EMPTIED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/locale")
VIRTUAL = ("dev", "proc", "sys", "run", "tmp")


def ensure(address: str) -> bool:
    """See to it that the engine has the image; whether we made it just now.

    Ends the program, with the command that helps, when it cannot be had.
    """
    client = DockerClient(base_url=address, timeout=IMPORT_SECONDS)
    try:
        made_as = _made_by_us(client)
        if made_as is None and _present(client):
            say(f"{REFERENCE}: the engine has it, used")
        elif made_as == _key():
            say(f"{REFERENCE}: the engine has the one that we made, used")
        elif made_as is not None or _archive().exists() or not _pull(address):
            _make(client)
            return True
        return False
    finally:
        client.close()


def remove(address: str) -> None:
    """Remove the image that we made; its tree stays in the cache."""
    client = DockerClient(base_url=address, timeout=IMPORT_SECONDS)
    try:
        if _made_by_us(client) is not None:
            client.images.remove(REFERENCE)
            say(f"{REFERENCE}: the one that we made is removed (its tree stays in {CACHE})")
    except DockerException as error:
        say(f"{REFERENCE}: the one that we made is left: {error}")
    finally:
        client.close()


def _present(client: DockerClient) -> bool:
    try:
        client.images.get(REFERENCE)
    except ImageNotFound:
        return False
    return True


def _made_by_us(client: DockerClient) -> str | None:
    """What the engine's image was made from; None when it is not ours, or not there."""
    try:
        return client.images.get(REFERENCE).labels.get(LABEL)
    except ImageNotFound:
        return None


def _pull(address: str) -> bool:
    """Whether a registry gave it. Without the rights to make one there is more time to wait for it."""
    seconds = PULL_ANSWER_SECONDS if _can_make() else IMPORT_SECONDS
    api = APIClient(base_url=address, timeout=seconds)
    try:
        failed = any("error" in line for line in api.pull(NAME, tag=TAG, stream=True, decode=True))
    except (APIError, RequestException, OSError):
        failed = True
    finally:
        api.close()
    if not failed:
        say(f"{REFERENCE}: pulled, for the example's Dockerfile")
    return not failed


def _can_make() -> bool:
    return os.geteuid() == 0 and bool(shutil.which("apt-get"))


def _make(client: DockerClient) -> None:
    if not _can_make():
        fail(f"{REFERENCE}: no registry gives it: run `docker pull {REFERENCE}`, or `sudo make setup` to make one here")
    archive = _archive()
    if archive.exists():
        say(f"{REFERENCE}: importing the tree that was made before, for the example's Dockerfile")
    else:
        _make_archive(archive)
    changes = [
        'CMD ["python3"]',
        "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
        f"ENV LANG=C.UTF-8 PIP_CERT={CERTIFICATES} SSL_CERT_FILE={CERTIFICATES}",
        f"LABEL {LABEL}={_key()}",
    ]
    try:
        with archive.open("rb") as tree:
            client.api.import_image(src=tree, repository=NAME, tag=TAG, changes=changes)
    except APIError as error:
        fail(f"{REFERENCE}: the engine does not take {archive}: {error.explanation}")


def _make_archive(archive: Path) -> None:
    """Debian's packages in a directory of their own, made ours, in a tar file."""
    if not shutil.which("debootstrap"):
        say("debootstrap: installing it, to make the base image")
        apt_install("debootstrap")
    say(f"{REFERENCE}: no registry gives it, making one from Debian {SUITE}'s packages (40 s, kept in {CACHE})")
    shutil.rmtree(CACHE, ignore_errors=True)
    tree, new = CACHE / "tree", archive.with_suffix(".new")
    tree.mkdir(parents=True)
    mirror = _mirror()
    run(
        "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(tree), *filter(None, [mirror])
    )
    _finish(tree)
    left_out = [f"--exclude=./{directory}/*" for directory in VIRTUAL]
    run("tar", "--create", "--file", str(new), "--numeric-owner", "--directory", str(tree), *left_out, ".")
    shutil.rmtree(tree)
    new.replace(archive)


def _finish(tree: Path) -> None:
    """What the official image has beyond Debian's packages, and what this machine reaches the network with."""
    for name, target in {"python": "/usr/bin/python3", "pip": "/usr/bin/pip3"}.items():
        (tree / "usr/local/bin" / name).symlink_to(target)
    (tree / "etc/pip.conf").write_text(_pip_configuration(), "utf-8")
    if _certificates():
        (tree / CERTIFICATES.lstrip("/")).write_bytes(_certificates())
    for directory in EMPTIED:
        for entry in (tree / directory).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def _archive() -> Path:
    """Where the tree is kept between runs."""
    return CACHE / f"{_key()}.tar"


def _key() -> str:
    """What the image depends on, as a short name."""
    parts = [str(RECIPE), SUITE, *PACKAGES, _mirror(), _pip_configuration()]
    return hashlib.sha256(json.dumps(parts).encode() + _certificates()).hexdigest()[:16]


def _certificates() -> bytes:
    """The machine's, which may hold more than Debian's."""
    path = Path(CERTIFICATES)
    return path.read_bytes() if path.exists() else b""


def _pip_configuration() -> str:
    """Debian's pip refuses to install beside Debian's own packages unless told that it may, and warns of root."""
    lines = [f"{name} = {' '.join(values)}" for name, values in _pip_network_settings().items()]
    return "\n".join(
        ["[global]", "break-system-packages = true", "root-user-action = ignore", f"cert = {CERTIFICATES}", *lines, ""]
    )


def _pip_network_settings() -> dict[str, list[str]]:
    """Those of this machine that mean something inside of a container: not its directories of files."""
    settings: dict[str, list[str]] = {}
    for option, values in sorted(pip_settings().items()):
        reachable = [value for value in values if not value.startswith(("file:", "/"))]
        if option in PIP_NETWORK_SETTINGS and reachable:
            settings[option] = reachable
    return settings


def _mirror() -> str:
    """Where this machine gets Debian's packages from; empty when it is no Debian, for debootstrap to choose."""
    apt = Path("/etc/apt")
    for path in (apt / "sources.list", *sorted(apt.glob("sources.list.d/*"))):
        text = path.read_text("utf-8") if path.is_file() else ""
        mirror = _first_mirror(text)
        if mirror:
            return mirror
    return ""


def _first_mirror(text: str) -> str:
    """Of a list in one of apt's two forms: lines, or paragraphs of fields."""
    for line in text.splitlines():
        words = [word for word in line.split() if not word.startswith("[") and not word.endswith("]")]
        if words[:1] == ["deb"] and words[2:3] == [SUITE]:
            return words[1]
    for paragraph in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in paragraph.splitlines() if ":" in line and line[0] not in "# ")
        if SUITE in fields.get("Suites", "").split():
            return fields["URIs"].split()[0]
    return ""
