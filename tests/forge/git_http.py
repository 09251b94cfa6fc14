"""git over smart HTTP: every request is answered by `git http-backend`, run as a CGI program. Reading only."""

import asyncio
import base64
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from tests.forge.git import git_environment
from tests.forge.state import Repository, State, User

CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}


def git_routes(state: State, root: Path) -> APIRouter:
    """Serve the bare repositories under `root` at `/OWNER/NAME.git`."""
    router = APIRouter()

    @router.api_route("/{owner}/{name}.git/{path:path}", methods=["GET", "POST"])
    async def git(request: Request, owner: str, name: str, path: str) -> Response:
        repository = state.repository(f"{owner}/{name}")
        moved = state.former_names.get(f"{owner}/{name}".lower()) if repository is None else None
        if moved is not None:
            return RedirectResponse(f"/{moved.full_name}.git/{path}?{request.url.query}", 301)
        refusal = _refusal(request, repository, state)
        if refusal is not None:
            return refusal
        assert repository is not None
        return await _run_backend(request, root, f"/{repository.full_name}.git/{path}")

    return router


def _refusal(request: Request, repository: Repository | None, state: State) -> Response | None:
    """Answer what GitHub does: ask for a token before it tells whether a repository is private or missing."""
    header = request.headers.get("authorization")
    user = state.bearer(_credentials(header)) if header else None
    if header and user is None:
        return PlainTextResponse("Invalid credentials", 401, CHALLENGE)
    if repository is not None and _may_read(user, repository):
        return None
    if user is None:
        return PlainTextResponse("Authentication required", 401, CHALLENGE)
    return PlainTextResponse("Repository not found", 404)


def _may_read(user: User | None, repository: Repository) -> bool:
    """Any token opens any private repository: the stand-in has one installation, which sees them all."""
    return not repository.private or user is not None


def _credentials(header: str) -> str:
    """Take the token out of `Bearer TOKEN`, `token TOKEN` or `Basic base64(user:TOKEN)`."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except ValueError:
        return ""


async def _run_backend(request: Request, root: Path, path_info: str) -> Response:
    """Answer with the whole output at once: repositories in tests are small, and a client that leaves in the
    middle then leaves no process behind.
    """
    body = await request.body()
    environment = _cgi_environment(request, root, path_info) | {"CONTENT_LENGTH": str(len(body))}
    backend = await asyncio.create_subprocess_exec(
        "git", "http-backend", env=environment, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    output, _ = await backend.communicate(body)
    return _parse_output(output)


def _parse_output(output: bytes) -> Response:
    """Turn a CGI program's output into a response. One that says nothing at all has died."""
    head, _, content = output.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").splitlines()
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = headers.pop("Status", "200" if headers else "500").split()[0]
    return Response(content, int(status), headers)


def _cgi_environment(request: Request, root: Path, path_info: str) -> dict[str, str]:
    headers = request.headers
    return git_environment() | {
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "PATH_INFO": path_info,
        "QUERY_STRING": request.url.query,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "REMOTE_ADDR": "127.0.0.1",
    }
