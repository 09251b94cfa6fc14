"""What is said about a build that failed, and where in the Dockerfile."""

import pytest

from orchestrator.adapters.engine.buildkit.failure import Failed, failure, line_of
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import DiskFull

DOCKERFILE = """\
# syntax=docker/dockerfile:1
ARG TAG=3.11
FROM python:$TAG AS build
WORKDIR /app
RUN make
COPY a b
RUN make
RUN echo "$WHO" && \\
    make all
FROM build
COPY --from=registry.test/tools:2 /x /x
RUN --mount=type=bind,from=other,target=/o make
ADD https://files.test/a /a
COPY --from=build /app /app
"""


@pytest.mark.parametrize(
    ("step", "line"),
    [
        ("[build 2/6] WORKDIR /app", 4),
        ("[build 3/6] RUN make", 5),
        ("[build 5/6] RUN make", 7),
        ('[build 6/6] RUN echo "ann" && make all', 8),
        ("[linux/amd64 build 5/6] RUN make", 7),
        ("[stage-1 1/4] COPY --from=registry.test/tools:2 /x /x", 11),
        ("[stage-1 4/4] COPY --from=build /app /app", 14),
        ("[other 3/9] COPY a b", 6),
        ("[internal] load metadata for registry.test/tools:2", 11),
        ("[internal] load metadata for docker.io/library/other:latest", 12),
        ("FROM docker.io/library/other:latest", 12),
        ("resolve image config for docker.io/docker/dockerfile:1", 1),
        ("https://files.test/a", 13),
        ("[build 5/6] RUN something else", 0),
        ("exporting to image", 0),
    ],
)
def test_the_line_of_a_step(step: str, line: int) -> None:
    assert line_of(step, DOCKERFILE) == line


def test_a_dockerfile_that_cannot_be_read_has_no_lines() -> None:
    assert line_of("[1/1] RUN make", "FOO bar") == 0


def said(error: str, step: str = "", dockerfile: str = DOCKERFILE) -> tuple[str, str]:
    request = BuildRequest(tag="t", dockerfile=dockerfile.encode())
    found = failure(request, error, Failed(name=step, tail=()) if step else None)
    return found.message, found.remedy


SOLVE = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: "


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (f"{SOLVE}dockerfile parse error line 3: unknown instruction: FOO", "Dockerfile:3: unknown instruction: FOO"),
        ("failed to solve: dockerfile parse error on line 3: what", "Dockerfile:3: what"),
        ("failed to solve: rpc error: code = Unknown desc = no such file", "Dockerfile: no such file"),
        ("something else", "Dockerfile: something else"),
    ],
)
def test_a_failure_before_any_step(error: str, message: str) -> None:
    assert said(error) == (message, "")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("pull access denied", "PREVIEWD_REGISTRY_AUTH"),
        ("unexpected status code: 401 Unauthorized", "registry.test asks who we are"),
        ("registry.test/tools:2: not found", "was pushed"),
        ("dial tcp 192.0.2.1:443: connection refused", "reaches the registry"),
    ],
)
def test_an_image_that_cannot_be_had(error: str, remedy: str) -> None:
    message, told = said(error, "[internal] load metadata for registry.test/tools:2")
    assert message == f"Dockerfile:11: the image registry.test/tools:2 cannot be had: {error}"
    assert remedy in told


@pytest.mark.parametrize(
    "error",
    [
        "executor failed running [/bin/sh -c make]: exit code: 2",
        'process "/bin/sh -c make" did not complete successfully: exit code: 2',
    ],
)
def test_a_command_that_fails(error: str) -> None:
    assert said(error, "[build 5/6] RUN make")[0] == "Dockerfile:7: `RUN make` failed: exit code 2"


def test_a_heredoc_that_an_old_frontend_does_not_know() -> None:
    text = "FROM a\nRUN <<EOF\necho\nEOF\n"
    message, remedy = said("dockerfile parse error line 3: unknown instruction: ECHO", dockerfile=text)
    assert message == "Dockerfile:3: unknown instruction: ECHO"
    assert "version 23" in remedy


def test_a_machine_that_is_full_is_not_the_authors_fault() -> None:
    request = BuildRequest(tag="t", dockerfile=DOCKERFILE.encode())
    assert isinstance(failure(request, "write /x: no space left on device", None), DiskFull)


def test_many_variables_are_not_tried_at_every_place() -> None:
    text = f"FROM a\nRUN {'${X}a' * 50}b\nRUN {'a' * 4_000}\nRUN a${{X}}b${{X}}c\n"
    assert line_of(f"[2/4] RUN {'a' * 4_000}", text) == 3
    assert line_of("[4/4] RUN axbyc", text) == 4
    assert line_of("RUN abc", text) == 4
    assert line_of("RUN ac", text) == 0
