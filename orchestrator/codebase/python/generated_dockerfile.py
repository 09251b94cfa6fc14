"""The Dockerfile of a recognised application: the one that its author would have written.

It needs nothing newer than the Engine's own BuildKit of 2020: no heredocs, no `# syntax` line. What changes seldom
comes first, so a push that leaves the dependencies alone installs nothing. The texts that come from the repository are
argument lists, which are written as JSON, and names that were looked for.
"""

import json
import posixpath
from collections.abc import Iterator

from orchestrator.codebase.python.application import Application
from orchestrator.codebase.python.installer import Installer

_PIP = "RUN --mount=type=cache,target=/root/.cache/pip pip"
_INTO_VENV = f"{_PIP} --python /venv/bin/python install"
_TOOLS = {
    Installer.UV: "uv>=0.8,<1",
    Installer.PROJECT: "uv>=0.8,<1",
    Installer.POETRY: "poetry>=2,<3 poetry-plugin-export>=1.9,<2",
    Installer.PIPENV: "pipenv>=2024",
}
"""What pip installs into the first stage, from the index that the build is set up with: no further image is needed."""
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""The system's, which a company may have added its own to: uv, Poetry and Pipenv would else trust those they bring."""
_HOME = "/code"


def dockerfile(found: Application) -> str:
    """Its text. Both stages start from one image, so that what the first installs runs in the second."""
    image = f"python:{found.installation.python}-slim"
    lines = [*_build_stage(found, image), "", *_run_stage(found, image)]
    return "\n".join(lines) + "\n"


def _build_stage(found: Application, image: str) -> Iterator[str]:
    yield f"FROM {image} AS build"
    if packages := _to_build(found):
        yield _apt(packages)
    yield "RUN python -m venv --without-pip /venv"
    if tool := _TOOLS.get(found.installation.installer):
        yield f"ENV SSL_CERT_FILE={_CERTIFICATES} REQUESTS_CA_BUNDLE={_CERTIFICATES}"
        yield f"{_PIP} install {' '.join(map(json.dumps, tool.split()))}"
    yield f"WORKDIR {_HOME}"
    yield from _copy(found)
    yield _install(found)
    if found.installs:
        yield f"{_INTO_VENV} {' '.join(map(json.dumps, found.installs))}"
    if found.is_installed:
        yield from () if found.installation.needs_code else ("COPY . .",)
        yield f"{_INTO_VENV} --no-deps ."


def _run_stage(found: Application, image: str) -> Iterator[str]:
    yield f"FROM {image}"
    if packages := _to_run(found):
        yield _apt(packages)
    path = posixpath.normpath(posixpath.join(_HOME, found.root))
    yield "ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\"
    yield f"    PYTHONPATH={path} PORT={found.port} FORWARDED_ALLOW_IPS=*"
    yield f"RUN useradd --create-home --uid 10001 app && mkdir {_HOME} && chown app {_HOME}"
    yield f"WORKDIR {_HOME}"
    yield "COPY --from=build /venv /venv"
    yield "COPY --chown=app . ."
    yield "USER app"
    yield f"EXPOSE {found.port}"
    if found.command is not None:
        yield f"CMD {json.dumps(found.command)}"


def _copy(found: Application) -> Iterator[str]:
    """Only what the installer reads, where that is all that it needs."""
    if found.installation.needs_code:
        yield "COPY . ."
        return
    folders: dict[str, list[str]] = {}
    for path in found.installation.files:
        folders.setdefault(posixpath.dirname(path), []).append(path)
    for folder, paths in folders.items():
        yield f"COPY {json.dumps([*paths, f'./{folder}/' if folder else './'])}"


def _install(found: Application) -> str:
    """Locks of Poetry and Pipenv are handed to pip, so that only pip and uv need to reach an index."""
    first = found.installation.files[0]
    match found.installation.installer:
        case Installer.UV:
            settings = "UV_PROJECT_ENVIRONMENT=/venv UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never"
            return f"{_cached('uv')} {settings} uv sync --frozen --no-dev --no-install-project"
        case Installer.PROJECT:
            return f"{_cached('uv')} UV_LINK_MODE=copy uv pip install --python /venv/bin/python -r pyproject.toml"
        case Installer.POETRY if first == "poetry.lock":
            return _exported("poetry export --only main --output /requirements.txt")
        case Installer.POETRY:
            return f"{_cached('pypoetry')} VIRTUAL_ENV=/venv poetry install --only main --no-root --no-interaction"
        case Installer.PIPENV if first == "Pipfile.lock":
            return _exported("pipenv requirements > /requirements.txt")
        case Installer.PIPENV:
            return f"{_cached('pipenv')} VIRTUAL_ENV=/venv PIPENV_VERBOSITY=-1 pipenv install --skip-lock"
        case Installer.PIP:
            return f"{_INTO_VENV} -r {first}"
        case Installer.SOURCE:
            return f"{_INTO_VENV} ."


def _exported(command: str) -> str:
    return f"RUN {command}\n{_INTO_VENV} -r /requirements.txt"


def _cached(tool: str) -> str:
    return f"RUN --mount=type=cache,target=/root/.cache/{tool}"


def _to_build(found: Application) -> list[str]:
    names = found.installation.packages.names
    compiled = not names.isdisjoint({"psycopg2", "psycopg[c]"})
    return [
        *(["gcc", "libc6-dev", "libpq-dev"] if compiled else []),
        *(["git"] if found.installation.needs_git else []),
    ]


def _to_run(found: Application) -> list[str]:
    """The library of Postgres, for drivers that come without it."""
    names = found.installation.packages.names
    needs = "psycopg2" in names or ("psycopg" in names and "psycopg[binary]" not in names)
    return ["libpq5"] if needs or "psycopg2cffi" in names else []


def _apt(packages: list[str]) -> str:
    installed = f"apt-get install --yes --no-install-recommends {' '.join(packages)}"
    return f"RUN apt-get update && {installed} && rm -rf /var/lib/apt/lists/*"
